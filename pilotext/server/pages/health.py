"""Health of the server for its operator."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pilotext.server.pages.access import page
from pilotext.server.production.health import health
from pilotext.server.production.models import CycleStep


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show each part of the server with its state, and the steps of the cycle."""
    steps = list(CycleStep.objects.order_by("name"))
    return render(request, "pages/health.html", {"health": health(), "steps": steps})
