"""Failures: causes by number, and those that no rule knows."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pilotext.api.schemas.errors import ErrorRow
from pilotext.server.pages.access import page
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.errors import list_errors, list_signatures

HOURS = (1, 24, 168)
SIGNATURES = 50
HOUR_S = 3600.0


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show failed attempts of the last hours by code, cause and site, and the signatures of unknown failures."""
    asked = request.GET.get("hours", "24")
    if asked not in map(str, HOURS):
        raise RefusalError("invalid", f"failures are counted over {', '.join(map(str, HOURS))} hours.")
    words = {
        "hours": int(asked),
        "choices": HOURS,
        "failures": failures_since(now() - int(asked) * HOUR_S, ("code", "cause", "site")),
        "signatures": list_signatures(experiment=None, limit=SIGNATURES).signatures,
    }
    return render(request, "pages/failures.html", words)


def failures_since(since: float, by: tuple[str, ...], *, of_task: int | None = None) -> tuple[ErrorRow, ...]:
    """Return the failed attempts since then, counted by these fields, the most frequent first."""
    return list_errors(by=by, since=since, until=now() + 1.0, task=None, site=None, code=None, of_task=of_task).errors
