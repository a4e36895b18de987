"""The first page: whether anything is wrong, what, since when, and who has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.server.pages.access import page
from pilotext.server.pages.failures import failures_since
from pilotext.server.pages.queries import address
from pilotext.server.pages.tasks import ENDED, counted
from pilotext.server.production.statistics.sites import list_sites
from pilotext.server.production.statistics.tasks import list_tasks
from pilotext.server.times import earlier, now

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
    tasks = [counted(row) for row in list_tasks(without=ENDED)]
    jobs: Counter[str] = Counter()
    for each in tasks:
        jobs.update(each.row.jobs)
        jobs.update(each.row.merges)
    sites = list_sites()
    held = [row for site in sites.sites for row in site.breakers] + list(sites.breakers)
    failures = failures_since(earlier(now(), DAY_S), ("code", "cause", "site"))
    words = {
        "tiles": [
            Tile(jobs["running"], "jobs running", address(reverse("jobs"), state="running")),
            Tile(jobs["ready"], "jobs ready", address(reverse("jobs"), state="ready")),
            Tile(jobs["manual"], "jobs wait for a decision", reverse("manual")),
            Tile(sum(row.attempts for row in failures), "failed in 24 hours", reverse("failures")),
            Tile(sum(bool(site.closed) for site in sites.sites), "sites closed", reverse("sites")),
            Tile(len(held), "breakers open", reverse("sites")),
        ],
        "tasks": [one for one in tasks if one.row.state in ("running", "paused", "ready", "archiving")],
        "closed": [site for site in sites.sites if site.closed],
        "breakers": held,
        "failures": failures[:TOP_FAILURES],
    }
    return render(request, "pages/overview.html", words)
