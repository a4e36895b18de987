"""Numbers of each hour for plots: attempts that began and ended, those at work, events, CPU and bytes moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, Count, F, Func, Q, QuerySet, Sum, Value
from django.db.models.sql.compiler import SQLCompiler

from pilotext.server.production.lookup import site_named, tasks_named
from pilotext.server.production.models import Attempt, HourlyAttempts, HourlyTransfers, Site, StagedFile, Task
from pilotext.server.production.models.statistics import STARTED
from pilotext.server.production.states import FAILED_ATTEMPT
from pilotext.server.production.statistics.counts import counts_of_rows
from pilotext.server.production.statistics.hourly import begin_of, hour_of
from pilotext.server.production.statistics.marks import with_last
from pilotext.server.times import HOUR_S, now

Hours = defaultdict[str, defaultdict[int, float]]
"""Numbers by the name of their series and the hour."""

Part = Literal["ends", "work", "submissions", "transfers", "tape"]
"""Numbers that are measured together."""


def no_hours() -> Hours:
    """Return series without a number."""
    return defaultdict(lambda: defaultdict(float))


@dataclass(frozen=True)
class Measured:
    """The numbers of a time, by hour: each of these in series by a word, such as the name of a site."""

    begin: int
    end: int
    """The hour of now, which is not over yet."""
    started: Hours = field(default_factory=no_hours)
    submitted: Hours = field(default_factory=no_hours)
    ended: Hours = field(default_factory=no_hours)
    failed: Hours = field(default_factory=no_hours)
    usage: Hours = field(default_factory=no_hours)
    """CPU and wall time, and events, of attempts that ended."""
    at_sites: Hours = field(default_factory=no_hours)
    of_people: Hours = field(default_factory=no_hours)
    by_storage: Hours = field(default_factory=no_hours)
    by_site: Hours = field(default_factory=no_hours)
    tape: Hours = field(default_factory=no_hours)
    """Files that came from tape, by the time that they were waited for."""


@dataclass(frozen=True)
class _Chosen:
    """Tasks and sites that are measured; None: all. `names` are those of all sites."""

    tasks: list[int] | None
    sites: list[int] | None
    names: Mapping[int, str]

    def rows(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Select the rows of these tasks and sites."""
        rows = rows if self.tasks is None else rows.filter(task__in=self.tasks)
        return rows if self.sites is None else rows.filter(site__in=self.sites)


def measure(
    hours: int, parts: Collection[Part] = get_args(Part), *, task: str | None = None, site: str | None = None
) -> Measured:
    """Return these parts of the numbers of the last hours, of a task or a site if one is named.

    Raises RefusalError for a name that nobody has. Submitted jobs are of no site, transfers of no task; files from
    tape are left out where a site is named.
    """
    end = hour_of(now())
    found = Measured(end - hours + 1, end)
    tasks = None if task is None else [row.pk for row in tasks_named(task)]
    names = dict(Site.objects.values_list("pk", "name"))
    mine = [pk for pk, name in names.items() if name == site]
    chosen = _Chosen(tasks, None if site is None else mine or [site_named(site).pk], names)
    for part in parts:
        _MEASURES[part](found, chosen)
    return found


def _since(found: Measured) -> QuerySet[HourlyAttempts]:
    return HourlyAttempts.objects.filter(hour__gte=found.begin, hour__lte=found.end).order_by()


def _measure_ends(found: Measured, chosen: _Chosen) -> None:
    rows = chosen.rows(_since(found)).exclude(state=STARTED).values_list("hour", "state", "cause")
    sums = (Sum("attempts"), Sum("wall_s"), Sum("cpu_s"), Sum("events"))
    for hour, state, cause, number, wall_s, cpu_s, events in rows.annotate(*sums):
        found.ended[state][hour] += number
        if state in FAILED_ATTEMPT:
            found.failed[cause or "lost"][hour] += number
        for name, value in (("wall", wall_s), ("CPU", cpu_s), ("events", events)):
            found.usage[name][hour] += value


def _measure_work(found: Measured, chosen: _Chosen) -> None:
    """Attempts that began, by the type of their task, and those at work at the end of each hour."""
    began = Sum("attempts", filter=Q(state=STARTED), default=0)
    ended = Sum("attempts", filter=~Q(state=STARTED), default=0)
    of_site = list(chosen.rows(_since(found)).values_list("site", "hour").annotate(first=began, last=ended))
    of_task = list(chosen.rows(_since(found)).values_list("task", "hour").annotate(first=began, last=ended))
    active = list(chosen.rows(Attempt.objects.active()).values_list("state", "site", "task").annotate(Count("pk")))
    numbers = {row[0] for row in of_task} | {row[2] for row in active}
    tasks = {pk: names for pk, *names in Task.objects.filter(pk__in=numbers).values_list("pk", "submitter", "type")}
    for task, hour, first, _ in of_task:
        if first:
            found.started[tasks[task][1]][hour] += first

    def at_work(hours: Hours, rows: list[Any], of_active: int, name: Callable[[int], str]) -> None:
        moves: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        for row in active:
            moves[name(row[of_active])][found.end] += row[3]
        for key, hour, first, last in rows:
            moves[name(key)][hour - 1] += last - first  # what began in an hour was not at work before it
        for series, changes in moves.items():
            number = 0
            for hour in range(found.end, found.begin - 1, -1):
                number += changes[hour]
                hours[series][hour] = max(0, number)

    at_work(found.at_sites, of_site, 1, lambda pk: chosen.names[pk])
    at_work(found.of_people, of_task, 2, lambda pk: tasks[pk][0] or "unknown")


def _measure_submissions(found: Measured, chosen: _Chosen) -> None:
    rows = Task.objects.filter(created__gte=begin_of(found.begin))
    rows = rows if chosen.tasks is None else rows.filter(pk__in=chosen.tasks)
    tasks = list(with_last(rows.only("pk", "created", "submitter")))
    counts = counts_of_rows(tasks)
    for task in tasks:
        found.submitted[task.submitter or "unknown"][hour_of(task.created)] += sum(counts[task.pk].own.values())


TAPE_WAITS_H = {"under 1 h": 1, "1 to 4 h": 4, "4 to 12 h": 12, "12 to 24 h": 24}
OVER_A_DAY = "over 24 h"
"""Names of the times that files from tape are waited for, with their ends in whole hours."""


class _InSeconds(Func):
    """A point in time as whole seconds since 1970."""

    template = "date_part('epoch', %(expressions)s)::bigint"
    template_of_sqlite = "CAST(ROUND((julianday(%(expressions)s) - 2440587.5) * 86400.0) AS INTEGER)"
    output_field = BigIntegerField()

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        sql, parameters = self.as_sql(compiler, connection, template=self.template_of_sqlite, **context)
        return sql, tuple(parameters)


def _measure_tape(found: Measured, chosen: _Chosen) -> None:
    if chosen.sites is not None:
        return
    rows = StagedFile.objects.filter(came__gte=begin_of(found.begin), requested__lte=F("came"))
    if chosen.tasks is not None:
        rows = rows.read_by(task__in=chosen.tasks)
    # Counted by the database, of which each function of a row takes time: there are thousands of files in a week.
    hour_s, came = Value(int(HOUR_S)), _InSeconds("came")
    times = rows.annotate(wait_h=(came - _InSeconds("requested")) / hour_s, came_in=came / hour_s)
    for wait_h, hour, files in times.order_by().values_list("wait_h", "came_in").annotate(Count("pk")):
        found.tape[_name_of_wait(wait_h)][hour] += files


def _name_of_wait(wait_h: int) -> str:
    return next((name for name, end_h in TAPE_WAITS_H.items() if wait_h < end_h), OVER_A_DAY)


def _measure_transfers(found: Measured, chosen: _Chosen) -> None:
    rows = HourlyTransfers.objects.filter(hour__gte=found.begin, hour__lte=found.end)
    rows = rows if chosen.sites is None else rows.filter(site__in=chosen.sites)
    for hour, site, storage, direction, size in rows.values_list("hour", "site", "storage", "direction", "bytes"):
        found.by_storage[f"{'from' if direction == 'in' else 'to'} {storage}"][hour] += size
        found.by_site[chosen.names[site]][hour] += size


_MEASURES: Mapping[Part, Callable[[Measured, _Chosen], None]] = {
    "ends": _measure_ends,
    "work": _measure_work,
    "submissions": _measure_submissions,
    "transfers": _measure_transfers,
    "tape": _measure_tape,
}
