"""Lists of jobs by choice, and the search for whatever a word names."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.jobs import JobQuery
from pilotext.server.pages.access import page
from pilotext.server.pages.queries import EMPTY_MEANS_NONE, address, choice_of, in_words
from pilotext.server.production.models import Job, Task
from pilotext.server.production.statistics.jobs import list_jobs


@page("viewer")
def list_some(request: HttpRequest) -> HttpResponse:
    """Show a page of the jobs of a choice."""
    asked = choice_of(request, JobQuery)
    found = list_jobs(asked)
    given = {name: value for name, value in request.GET.items() if name != "after"}
    words = {
        "jobs": found.jobs,
        "choice": in_words({name: value for name, value in given.items() if name != "limit"}),
        "further": address(reverse("jobs"), **given, after=found.next) if found.next is not None else "",
        "command": " ".join(["pilotext jobs list", *options_of(given)]),
    }
    return render(request, "pages/jobs.html", words)


@page("viewer")
def search(request: HttpRequest) -> HttpResponse:
    """Go to the job, the run, the code or the task that a word names."""
    word = request.GET.get("q", "").strip()
    if word.isascii() and word.isdigit() and len(word) < 19:
        if Job.objects.filter(pk=int(word)).exists():
            return HttpResponseRedirect(reverse("job", args=[int(word)]))
        return HttpResponseRedirect(address(reverse("jobs"), run=word))
    if task := Task.objects.filter(name=word).order_by("-pk").first():
        return HttpResponseRedirect(reverse("task", args=[task.pk]))
    if "-" in word and word.rpartition("-")[2].isdigit():
        return HttpResponseRedirect(address(reverse("jobs"), code=word.upper()))
    return HttpResponseRedirect(address(reverse("jobs"), task=word))


def options_of(given: Mapping[str, object]) -> Iterator[str]:
    """Yield the options of the command line that make the same choice, quoted for a shell."""
    for name, value in given.items():
        if value or name in EMPTY_MEANS_NONE:
            yield f"--{name} {shlex.quote(str(value))}"
