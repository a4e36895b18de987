"""Factories, and what each has queued."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pilotext.server.pages.access import page
from pilotext.server.production.statistics.factories import list_factories


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show all factories with their labels."""
    return render(request, "pages/factory.html", {"factories": list_factories().factories})
