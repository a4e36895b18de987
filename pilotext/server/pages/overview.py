"""The first page: whether anything is wrong, what, since when, and who has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.formatting import THIN_SPACE, counted_words
from pilotext.server.pages.access import page
from pilotext.server.pages.failures import failures_since
from pilotext.server.pages.queries import address
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.pages.tasks import ENDED, Counted, counted
from pilotext.server.production.statistics.attention import Concern, Subject, concerns
from pilotext.server.production.statistics.audit import ANYBODY
from pilotext.server.production.statistics.sites import ClosedSite, TrippedBreaker, closed_sites, tripped_breakers
from pilotext.server.production.statistics.tasks import list_tasks
from pilotext.server.times import DAY_S, earlier, now, to_seconds

TOP_FAILURES = 10
MAX_NAMED = 10
"""Closed sites, and tripped breakers, that are named."""
AT_WORK = ("draft", "running", "paused", "ready", "archiving")
TILES = ("running", "ready", "manual")
"""States whose jobs have a tile; a task that has some stands in the table, whatever its own state."""


@dataclass(frozen=True)
class Tile:
    """A number with the page that lists what it counts; `parts` says what it is the sum of."""

    number: int
    words: str
    link: str
    parts: str = ""


@dataclass(frozen=True)
class Attention:
    """Something that needs attention, in words, with the page where it is found."""

    state: str
    words: str
    since: float | None
    link: str
    note: str = ""
    """By whom, and why."""


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest) -> HttpResponse:
    """Show what needs attention, what runs, what is held, and the most frequent failures of a day."""
    tasks = [one for each in list_tasks(without=ENDED) if _at_work(one := counted(each))]
    closed, breakers, tiles = closed_sites(), tripped_breakers(), list(job_tiles(tasks))
    whole = sum_of(tasks)
    if whole is not None:
        tasks, whole = [_without_empty(each, whole) for each in tasks], _without_empty(whole, whole)
    failures = failures_since(earlier(now(), DAY_S), ("code", "cause", "site"))
    failed = sum(row.attempts for row in failures)
    words = {
        "attention": [*map(attention_of, concerns()), *held_by(closed, breakers)],
        "tiles": [
            *tiles,
            Tile(failed, "failed in 24 hours", reverse("failures")),
            Tile(len(closed), "site closed" if len(closed) == 1 else "sites closed", reverse("sites")),
            Tile(
                len(breakers),
                "breaker tripped" if len(breakers) == 1 else "breakers tripped",
                f"{reverse('failures')}#breakers",
            ),
        ],
        "tasks": tasks,
        "sum": whole,
        "failures": failures[:TOP_FAILURES],
        "more_failures": max(0, len(failures) - TOP_FAILURES),
    }
    return render(request, "pages/overview.html", words)


def attention_of(found: Concern) -> Attention:
    """Return a concern in words, with the page where it is found."""
    state, one, many = CONCERNS[found.subject]
    number = counted_words(found.number, NOUNS.get(found.subject, ""), group=THIN_SPACE)
    words = (one if found.number == 1 else many).format(
        number=number, name=found.name, attempts=counted_words(found.attempts, "attempt", group=THIN_SPACE)
    )
    return Attention(state, words, to_seconds(found.since), _link(found))


def held_by(closed: Sequence[ClosedSite], breakers: Sequence[TrippedBreaker]) -> Iterator[Attention]:
    """Yield the sites that somebody has closed and the breakers that have tripped; of many, the last only counted."""
    for site in closed[:MAX_NAMED]:
        words, link = f"The site {site.name} is closed and takes no jobs", reverse("site", args=[site.number])
        yield Attention("closed", words, to_seconds(site.since), link, _by(site.who, site.why))
    if (more := len(closed) - MAX_NAMED) > 0:
        verb = "is" if more == 1 else "are"
        yield Attention("closed", f"{counted_words(more, 'further site')} {verb} closed", None, reverse("sites"))
    everywhere = f"{reverse('failures')}#breakers"
    for each in breakers[:MAX_NAMED]:
        row = each.row
        link = everywhere if each.site is None else f"{reverse('site', args=[each.site])}#breakers"
        words = f"The breaker `{row.rule}` has tripped and blocks {row.scope or 'everything'}"
        yield Attention("held", words, row.since, link, _by(each.who or "itself", row.why))
    if (more := len(breakers) - MAX_NAMED) > 0:
        verb = "has" if more == 1 else "have"
        yield Attention("held", f"{counted_words(more, 'further breaker')} {verb} tripped", None, everywhere)


def _by(who: str, why: str) -> str:
    return f"by {who.removeprefix(ANYBODY) or 'somebody'}: {why}"


CONCERNS: dict[Subject, tuple[str, str, str]] = {
    "cycle": ("failed", "The cycle does not run: nothing advances", ""),
    "step": ("failed", "The step {name} of the cycle fails", ""),
    "factory": ("silent", "The factory {name} is silent", ""),
    "agent": (
        "silent",
        "{number} at {name} is silent and holds {attempts}",
        "{number} at {name} are silent and hold {attempts}",
    ),
    "attempt": ("silent", "{number} at {name} sends no heartbeat", "{number} at {name} send no heartbeat"),
    "job": ("manual", "{number} waits for a decision", "{number} wait for a decision"),
    "product": ("manual", "{number} waits for a decision", "{number} wait for a decision"),
    "archive": ("manual", "{number} could not be made", "{number} could not be made"),
}
"""State whose tone a concern has, and its words for one and for several."""

NOUNS: dict[Subject, str] = {
    "agent": "agent",
    "attempt": "attempt",
    "job": "job",
    "product": "merged product",
    "archive": "log archive",
}


def _link(found: Concern) -> str:
    if found.subject == "attempt":
        return address(reverse("attempts"), by="silent", site=found.name)
    if found.subject == "archive":
        return address(reverse("tasks"), state="archiving")
    if found.subject == "agent":
        return f"{reverse('site', args=[found.site])}#agents"
    page_of: dict[Subject, str] = {"factory": "factory", "job": "manual", "product": "manual"}
    part = "#runs" if found.subject == "product" else ""
    return reverse(page_of.get(found.subject, "server")) + part


def job_tiles(tasks: Sequence[Counted]) -> Iterator[Tile]:
    """Yield the tiles of jobs, whose numbers are the sums of the table of these tasks."""
    own, merges = _sums(tasks)
    links = {"manual": reverse("manual")}
    words = {"running": "running", "ready": "ready", "manual": "to decide"}
    for state in TILES:
        number = own[state] + merges[state]
        parts = f"{own[state]} + {counted_words(merges[state], 'merge')}" if merges[state] else ""
        link = links.get(state, address(reverse("jobs"), state=state))
        yield Tile(number, f"{'job' if number == 1 else 'jobs'} {words[state]}", link, parts)


def sum_of(tasks: Sequence[Counted]) -> Counted | None:
    """Return the row of the sums of a table of tasks; None for an empty one."""
    if not tasks:
        return None
    own, merges = _sums(tasks)
    columns = tuple((state, own[state]) for state, _ in tasks[0].columns)
    shown = tuple((state, merges[state]) for state, _ in columns if merges[state])
    return Counted(tasks[0].row, columns, sum(own.values()), shown)


def _without_empty(task: Counted, whole: Counted) -> Counted:
    """Return a task without the columns that are empty in the whole table, but for those that have a tile."""
    filled = {state for state, number in whole.columns if number or state in TILES}
    return replace(task, columns=tuple(each for each in task.columns if each[0] in filled))


def _at_work(task: Counted) -> bool:
    return task.row.state in AT_WORK or any(task.row.jobs.get(state) or task.row.merges.get(state) for state in TILES)


def _sums(tasks: Sequence[Counted]) -> tuple[Counter[str], Counter[str]]:
    own: Counter[str] = Counter()
    merges: Counter[str] = Counter()
    for task in tasks:
        own.update(task.row.jobs)
        merges.update(task.row.merges)
    return own, merges
