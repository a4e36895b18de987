"""Work that waits for a decision: jobs grouped by their failure, the same one by one, and runs."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.jobs import JobFilter, JobQuery
from pilotext.server.pages.access import may, page
from pilotext.server.pages.decisions import carry_out
from pilotext.server.pages.manual_decide import OTHER_WORDS
from pilotext.server.pages.queries import address, choice_of, given, in_words, tidy, whole_number
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.production.manual_decisions import merged_runs
from pilotext.server.production.manual_decisions.groups import (
    MAX_GROUPED,
    WaitingGroup,
    add_samples,
    group_waiting,
    held_runs,
)
from pilotext.server.production.manual_decisions.jobs import JOB_WORDS, may_move
from pilotext.server.production.manual_decisions.worklist import worklist
from pilotext.server.production.states import JobState

GROUPS = 20
"""Groups on a page."""

RUNS = 25
"""Products on a page."""

MAX_PAGE = 200
MAX_FIRST_RUN = 100_000
PAGING = ("page", "limit", "after", "runs")
MAX_NAMED = 3
"""Tasks, sites and people that a group names."""

FIELDS = ("task", "run", "code", "cause", "rule", "site", "product", "signature", "assigned")
"""Fields of the form that chooses jobs."""

WORDS = (*(word for word in JOB_WORDS if JobState.MANUAL in may_move(word)), *OTHER_WORDS)


@dataclass(frozen=True)
class Shown:
    """A group with the fields that choose its jobs, and the page that lists them one by one."""

    group: WaitingGroup
    fields: dict[str, str]
    link: str
    tasks: list[tuple[str, int]]
    sites: list[tuple[str, int]]
    people: list[tuple[str, int]]


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest) -> HttpResponse:
    """Show the waiting jobs in groups with samples, and the runs that wait beside them."""
    if clean := tidy(request):
        return clean
    choice = given(request, without=PAGING)
    groups, complete = group_waiting(choice_of(request, JobFilter, without=PAGING))
    first = _page_number(request) * GROUPS
    shown = groups[first : first + GROUPS]
    add_samples(shown)
    more = len(groups) > first + GROUPS
    first_run = min(whole_number(request.GET.get("runs", "0")) or 0, MAX_FIRST_RUN)
    runs = list(held_runs(first_run, RUNS + 1))
    following = first_run + RUNS if len(runs) > RUNS else None
    words = {
        "groups": [_shown(group, choice) for group in shown],
        "number": len(groups),
        "jobs": sum(group.jobs for group in groups),
        "bound": "" if complete else MAX_GROUPED,
        "choice": in_words(choice),
        "fields": [(name, name.replace("_", " "), choice.get(name, "")) for name in FIELDS],
        "further": address(reverse("manual"), **choice, page=first // GROUPS + 1) if more else "",
        "one_by_one": address(reverse("manual-jobs"), **choice),
        "runs": runs[:RUNS],
        "further_runs": address(reverse("manual"), **choice, runs=following) if following is not None else "",
        "hidden": {**choice, "state": "manual"},
        **_rights(request),
    }
    return render(request, "pages/manual.html", words)


@page("viewer")
@refreshed(marks_of_all)
def one_by_one(request: HttpRequest) -> HttpResponse:
    """Show a page of the waiting jobs with evidence and remedy; some can be ticked and decided on."""
    found = worklist(choice_of(request, JobQuery))
    texts = given(request)
    choice = {name: text for name, text in texts.items() if name not in ("after", "limit")}
    words = {
        "items": found.items,
        "choice": in_words(choice),
        "further": address(reverse("manual-jobs"), **{**texts, "after": found.next}) if found.next is not None else "",
        "grouped": address(reverse("manual"), **choice),
        **_rights(request),
    }
    return render(request, "pages/manual_jobs.html", words)


@page("expert", methods=("POST",))
def decide_on_product(request: HttpRequest, product: int) -> HttpResponse:
    """Carry out a decision on a merged run that waits, and go back to the work list."""
    return carry_out(request, "product", product, merged_runs.move_product, back=reverse("manual"))


def _rights(request: HttpRequest) -> dict[str, object]:
    allowed = may(request, "expert")
    return {"words": WORDS if allowed else (), "run_words": merged_runs.WORDS if allowed else ()}


def _page_number(request: HttpRequest) -> int:
    return min(whole_number(request.GET.get("page", "0")) or 0, MAX_PAGE)


def _shown(group: WaitingGroup, choice: dict[str, str]) -> Shown:
    mine = {**choice, "code": group.code, "rule": group.rule, "message": group.message}
    most = [counts.most_common(MAX_NAMED) for counts in (group.tasks, group.sites, group.assigned)]
    return Shown(group, {**mine, "state": "manual"}, address(reverse("manual-jobs"), **mine), *most)
