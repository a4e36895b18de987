"""Periods of data taking: year, period and run over all tasks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.fields import Number
from pilotext.api.schemas.runs import RunList, RunRow
from pilotext.model import Record
from pilotext.server.pages.access import page
from pilotext.server.pages.queries import address, choice_of, given
from pilotext.server.pages.run import HeldBy, RunPart, held_by, parts_of
from pilotext.server.pages.tasks import counted
from pilotext.server.production.models import Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JobState
from pilotext.server.production.statistics.runs import runs_of_tasks
from pilotext.server.production.statistics.tasks import Period, list_periods, task_rows, tasks_of_period

RUNS = 25
MAX_ROWS = 60
"""Runs of a page, each with a row for every task that has it; fewer where these would be more rows."""

MAX_TASKS = 20
"""Tasks of a period that are shown, the newest."""

ENDED = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED, JobState.MANUAL)


class PeriodQuery(Record, frozen=True):
    """Choice of a period; the page of its runs begins after the run `after`."""

    year: Number | None = None
    period: str = ""
    open: Literal["yes"] | None = None
    """Only runs that are not ready: a chunk has not ended, or a product is not kept."""
    after: Number | None = None


@dataclass(frozen=True)
class PeriodLine:
    """A period with its jobs as a bar, and the page of it."""

    row: Period
    parts: list[RunPart]
    total: int
    open: int
    link: str


@dataclass(frozen=True)
class PeriodRun:
    """A run of one of the tasks; `tasks` is the number of rows of the run in its first one, 0 in the others."""

    row: RunRow
    task: int
    parts: list[RunPart]
    held: HeldBy
    tasks: int


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show all periods with the jobs of their tasks."""
    words = {"periods": [line_of(row) for row in list_periods()]}
    return render(request, "pages/periods.html", words)


@page("viewer")
def show_one(request: HttpRequest) -> HttpResponse:
    """Show a period: its tasks side by side, and its runs over all of them."""
    asked, texts = choice_of(request, PeriodQuery), given(request)
    tasks = list(tasks_of_period(asked.year, asked.period).defer("document")[: MAX_TASKS + 1])
    if not tasks:
        raise RefusalError("not-found", f"there is no task of {asked.year or 'no year'} {asked.period!r:.40}.")
    shown = tasks[:MAX_TASKS]
    runs = fitting(runs_of_tasks(shown, after=asked.after, limit=RUNS, open_only=asked.open is not None))
    words = {
        "asked": asked,
        "tasks": [counted(row) for row in task_rows([row.pk for row in shown])],
        "more": len(tasks) > MAX_TASKS,
        "names": [row.name for row in shown],
        "all_runs": address(reverse("period"), year=asked.year, period=asked.period or None),
        "open_runs": address(reverse("period"), year=asked.year, period=asked.period or None, open="yes"),
        "differing": differing(shown),
        "runs": runs_together(runs.runs, {row.name: row.pk for row in shown}),
        "products": sorted({name for each in runs.runs for name in each.products}),
        "further": address(reverse("period"), **{**texts, "after": runs.next}) if runs.next is not None else "",
    }
    return render(request, "pages/period.html", words)


def fitting(found: RunList) -> RunList:
    """Return the first runs that have not more rows than a page, and at least one of them."""
    if len(found.runs) <= MAX_ROWS:
        return found
    last = found.runs[MAX_ROWS].run
    kept = tuple(row for row in found.runs if row.run < last) or tuple(row for row in found.runs if row.run == last)
    return RunList(kept, kept[-1].run)


def line_of(row: Period) -> PeriodLine:
    """Return a period as a row of the table."""
    total = sum(row.jobs.values())
    still = total - sum(row.jobs[state] for state in ENDED)
    link = address(reverse("period"), year=row.year, period=row.period or None)
    return PeriodLine(row, parts_of(RunRow("", 0, row.jobs, {})), total, still, link)


def runs_together(rows: tuple[RunRow, ...], numbers: dict[str, int]) -> list[PeriodRun]:
    """Return the rows of a page of runs; the first of each run knows how many there are."""
    found = []
    for place, row in enumerate(rows):
        begins = place == 0 or rows[place - 1].run != row.run
        mine = sum(other.run == row.run for other in rows) if begins else 0
        found.append(PeriodRun(row, numbers[row.task], parts_of(row), held_by(row), mine))
    return found


def differing(tasks: list[Task]) -> dict[str, list[str]]:
    """Return the parameters that are not the same in all these tasks: their values in the order of the tasks."""
    values: defaultdict[str, list[str]] = defaultdict(lambda: [""] * len(tasks))
    for place, row in enumerate(tasks):
        for name, value in row.parameters.items():
            values[name][place] = str(value)
    return {name: texts for name, texts in values.items() if len(set(texts)) > 1}
