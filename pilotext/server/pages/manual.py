"""The work list: jobs that wait for a decision."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.jobs import JobQuery
from pilotext.server.pages.access import page
from pilotext.server.pages.queries import address, choice_of, in_words
from pilotext.server.production.manual_decisions.worklist import worklist


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show a page of the jobs that wait for somebody, with evidence and remedy."""
    found = worklist(choice_of(request, JobQuery))
    given = {name: value for name, value in request.GET.items() if name != "after"}
    choice = in_words(given)
    further = address(reverse("manual"), **given, after=found.next) if found.next is not None else ""
    return render(request, "pages/manual.html", {"items": found.items, "further": further, "choice": choice})
