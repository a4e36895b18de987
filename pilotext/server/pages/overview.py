"""The first page: whether anything is wrong, what, since when, and who has it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.server.pages.access import page
from pilotext.server.pages.failures import failures_since
from pilotext.server.pages.queries import address
from pilotext.server.pages.tasks import ENDED, counted
from pilotext.server.production.models import Job
from pilotext.server.production.models.common import now
from pilotext.server.production.statistics.sites import list_sites
from pilotext.server.production.statistics.tasks import list_tasks

DAY_S = 86400.0
TOP_FAILURES = 10


@dataclass(frozen=True)
class Tile:
    """A number with the page that lists what it counts."""

    number: int
    words: str
    link: str


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show what runs, what needs somebody, what is held, and the most frequent failures of a day."""
    tasks = [counted(row) for row in list_tasks() if row.state not in ENDED]
    jobs = dict(Job.objects.values_list("state").annotate(Count("pk")))
    sites = list_sites()
    held = [row for site in sites.sites for row in site.breakers] + list(sites.breakers)
    failures = failures_since(now() - DAY_S, ("code", "cause", "site"))
    words = {
        "tiles": [
            Tile(jobs.get("running", 0), "jobs running", address(reverse("jobs"), state="running")),
            Tile(jobs.get("ready", 0), "jobs ready", address(reverse("jobs"), state="ready")),
            Tile(jobs.get("manual", 0), "jobs wait for a decision", reverse("manual")),
            Tile(jobs.get("failed", 0), "jobs failed", address(reverse("jobs"), state="failed")),
            Tile(sum(bool(site.closed) for site in sites.sites), "sites closed", reverse("sites")),
            Tile(len(held), "breakers open", reverse("sites")),
        ],
        "tasks": [one for one in tasks if one.row.state in ("running", "paused", "ready", "archiving")],
        "closed": [site for site in sites.sites if site.closed],
        "breakers": held,
        "failures": failures[:TOP_FAILURES],
    }
    return render(request, "pages/overview.html", words)
