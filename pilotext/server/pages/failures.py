"""Failures: a cross table, bars by day, those that no rule knows, breakers, and the attempts behind each number."""

from __future__ import annotations

import time
from calendar import timegm
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.errors import ErrorRow
from pilotext.api.schemas.fields import Id, Limit, Time
from pilotext.model import Record
from pilotext.serialization.csv import csv_of
from pilotext.server.pages.access import may, page
from pilotext.server.pages.decisions import carry_out
from pilotext.server.pages.jobs import csv_answer
from pilotext.server.pages.queries import address, choice_of, given, in_words, tidy, time_locked
from pilotext.server.production.manual_decisions import sites as decisions
from pilotext.server.production.statistics.errors import list_errors, list_failed_attempts, list_signatures
from pilotext.server.production.statistics.sites import tripped_breakers
from pilotext.server.times import DAY_S, earlier, from_seconds, later, now, to_seconds

PERIODS = (("1h", "hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days"))
DEFAULT_PERIOD = "24h"
AXES = ("code", "cause", "site", "task", "day")
FILTERS = ("task", "site", "code", "cause")
MAX_ROWS = 40
MAX_COLUMNS = 8
SIGNATURES = 50
DAYS = 14
"""Days of the bars."""

Axis = Literal["code", "cause", "site", "task", "day"]


class FailureQuery(Record, frozen=True):
    """Choice of failed attempts, and the fields of the rows and columns of their table."""

    rows: Axis = "code"
    columns: Axis = "site"
    since: Time | None = None
    until: Time | None = None
    task: str | None = None
    site: str | None = None
    code: str | None = None
    cause: str | None = None
    after: Id = 0
    limit: Limit = 100


@dataclass(frozen=True)
class FailureCell:
    """A number of failed attempts with the page that lists them."""

    attempts: int
    link: str


@dataclass(frozen=True)
class FailureLine:
    """A row of the cross table; `share` is its part of all failed attempts of the period, in percent."""

    name: str
    cells: tuple[FailureCell, ...]
    attempts: int
    link: str
    share: float
    last: float


@dataclass(frozen=True)
class FailureTable:
    """Failed attempts by two fields, the most frequent first; the rest is only counted."""

    columns: tuple[str, ...]
    lines: tuple[FailureLine, ...]
    more_rows: int
    more_columns: int
    attempts: int


@dataclass(frozen=True)
class DayBar:
    """Failed attempts of a day, with the height of their bar in percent."""

    day: str
    attempts: int
    x: int
    y: float
    height: float
    link: str


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show the failed attempts of a period by two fields, by day, and what holds jobs back because of them."""
    if clean := tidy(request):
        return clean
    asked, texts = choice_of(request, FailureQuery), given(request)
    filters = _filters(texts)
    found = _counted(asked, (asked.rows, asked.columns), filters)
    words = {
        "asked": asked,
        "axes": AXES,
        "table": table_of(found, asked, texts),
        "days": days_of(_counted(_of_days(asked), ("day",), filters), filters),
        "choice": in_words(filters),
        "fields": [(name, name, texts.get(name, "")) for name in (*FILTERS, "since", "until")],
        "period": _in_words(texts.get("since", DEFAULT_PERIOD)),
        "periods": [
            (address(reverse("failures"), **{**texts, "since": since, "until": None}), name) for since, name in PERIODS
        ],
        "turns": [(axis, address(reverse("failures"), **{**texts, "columns": axis})) for axis in AXES],
        "row_turns": [(axis, address(reverse("failures"), **{**texts, "rows": axis})) for axis in AXES],
        "locked": time_locked(reverse("failures"), {"since": DEFAULT_PERIOD, **texts}, ("since", "until")),
        "csv": address(reverse("failures-csv"), **texts),
        "signatures": list_signatures(experiment=None, limit=SIGNATURES).signatures,
        "breakers": [each.row for each in tripped_breakers()],
        "words": ("close",) if may(request, "manager") else (),
        "command": f"pilotext errors --by {asked.rows},{asked.columns}",
    }
    return render(request, "pages/failures.html", words)


@page("viewer")
def attempts(request: HttpRequest) -> HttpResponse:
    """Show a page of the failed attempts of a choice, the newest first."""
    asked, texts = choice_of(request, FailureQuery), given(request)
    filters = _filters(texts)
    since, until = _period(asked)
    rows, following = list_failed_attempts(
        since=since, until=until, fields=filters, after=asked.after, limit=asked.limit
    )
    further = address(reverse("failed-attempts"), **{**texts, "after": following}) if following else ""
    shown = {name: text for name, text in texts.items() if name in FILTERS}
    words = {
        "title": "Failed attempts",
        "rows": rows,
        "asked": asked,
        "choice": in_words(shown),
        "further": further,
        "back": address(reverse("failures"), **{name: text for name, text in texts.items() if name != "after"}),
        "back_words": "Failures",
    }
    return render(request, "pages/attempts.html", words)


@page("viewer")
def as_csv(request: HttpRequest) -> HttpResponse:
    """Return the numbers of the cross table as `pilotext errors --csv`."""
    asked, texts = choice_of(request, FailureQuery), given(request)
    filters = _filters(texts)
    return csv_answer("failures", csv_of(ErrorRow, _counted(asked, (asked.rows, asked.columns), filters)))


@page("manager", methods=("POST",))
def decide_on_breaker(request: HttpRequest, breaker: int) -> HttpResponse:
    """Close a breaker, and go back to the failures."""
    return carry_out(request, "breaker", breaker, decisions.move_breaker, back=reverse("failures"))


def failures_since(since: datetime, by: tuple[str, ...], *, of_task: int | None = None) -> tuple[ErrorRow, ...]:
    """Return the failed attempts since then, counted by these fields, the most frequent first."""
    until = later(now(), 1.0)
    return list_errors(by=by, since=since, until=until, task=None, site=None, code=None, of_task=of_task).errors


def table_of(found: Sequence[ErrorRow], asked: FailureQuery, texts: Mapping[str, str]) -> FailureTable:
    """Return the cross table of counted failures."""
    cells: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    columns: defaultdict[str, int] = defaultdict(int)
    last: defaultdict[str, float] = defaultdict(float)
    for row in found:
        name, column = str(getattr(row, asked.rows)), str(getattr(row, asked.columns))
        cells[name][column] += row.attempts
        columns[column] += row.attempts
        last[name] = max(last[name], row.last)
    total = sum(columns.values())
    heads = tuple(_in_order(asked.columns, columns)[:MAX_COLUMNS])
    names = _in_order(asked.rows, {name: sum(of_name.values()) for name, of_name in cells.items()})

    def link(name: str, column: str | None = None) -> str:
        fields = {**texts, **_field(asked.rows, name), **(_field(asked.columns, column) if column is not None else {})}
        return address(reverse("failed-attempts"), **fields)

    lines = []
    for name in names[:MAX_ROWS]:
        attempts_here = sum(cells[name].values())
        shown = tuple(FailureCell(cells[name].get(column, 0), link(name, column)) for column in heads)
        lines.append(FailureLine(name, shown, attempts_here, link(name), 100 * attempts_here / total, last[name]))
    return FailureTable(heads, tuple(lines), max(0, len(names) - MAX_ROWS), max(0, len(columns) - MAX_COLUMNS), total)


def _in_order(field: str, counts: Mapping[str, int]) -> list[str]:
    """Return the values of a field, the most frequent first; days, the last one first."""
    if field == "day":
        return sorted(counts, reverse=True)
    return sorted(counts, key=lambda each: (-counts[each], each))


def days_of(found: Sequence[ErrorRow], filters: Mapping[str, str]) -> list[DayBar]:
    """Return a bar for each of the last days, also for those without a failure."""
    counts = {row.day: row.attempts for row in found}
    today = to_seconds(now()) // DAY_S
    names = [time.strftime("%Y-%m-%d", time.gmtime((today - back) * DAY_S)) for back in reversed(range(DAYS))]
    highest = max(counts.values(), default=0) or 1
    bars = []
    for place, day in enumerate(names):
        height = 100 * counts.get(day, 0) / highest
        link = address(reverse("failures"), **filters, **_field("day", day))
        bars.append(DayBar(day, counts.get(day, 0), 40 * place, 100 - height, height, link))
    return bars


def _filters(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: texts[name] for name in FILTERS if name in texts}


def _in_words(since: str) -> str:
    return f"of the last {dict(PERIODS).get(since, since)}" if since[-1:].isalpha() else f"since {since}"


def _field(axis: str, value: str) -> dict[str, str]:
    """Return the fields of an address that choose a value of an axis."""
    if axis != "day":
        return {axis: value}
    following = time.gmtime(timegm(time.strptime(value, "%Y-%m-%d")) + DAY_S)
    return {"since": value, "until": time.strftime("%Y-%m-%d", following)}


def _period(asked: FailureQuery) -> tuple[datetime, datetime]:
    since = from_seconds(asked.since) if asked.since is not None else earlier(now(), DAY_S)
    return since, from_seconds(asked.until) if asked.until is not None else later(now(), 1.0)


def _of_days(asked: FailureQuery) -> FailureQuery:
    return msgspec.structs.replace(asked, since=(to_seconds(now()) // DAY_S - DAYS + 1) * DAY_S, until=None)


def _counted(asked: FailureQuery, by: tuple[str, ...], filters: Mapping[str, str]) -> tuple[ErrorRow, ...]:
    since, until = _period(asked)
    task, site, code, cause = (filters.get(name) for name in FILTERS)
    return list_errors(by=by, since=since, until=until, task=task, site=site, code=code, cause=cause).errors
