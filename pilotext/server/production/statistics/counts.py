"""Numbers of jobs of each task by state, counted again only for tasks where something has moved."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.db.models import Count

from pilotext.server.production.models import Job, Task
from pilotext.server.production.statistics.marks import Marks, marks_of, with_last
from pilotext.server.times import later, now

Counts = dict[str, int]

TRUSTED_S = 30.0
"""PostgreSQL may show a move after a later one, which this would not notice."""


@dataclass
class TaskCounts:
    """Jobs by state, those of one file and merges apart."""

    own: Counts = field(default_factory=dict)
    merges: Counts = field(default_factory=dict)


@dataclass
class _Known:
    last: Marks
    until: datetime
    counts: TaskCounts


_known: dict[tuple[str, int], _Known] = {}
_lock = threading.Lock()


def counts_of(tasks: Iterable[int]) -> dict[int, TaskCounts]:
    """The counts of these tasks. The last line of the audit trail shows whether a job has moved."""
    return counts_of_rows(with_last(Task.objects.filter(pk__in=list(tasks)).only("pk")))


def counts_of_rows(tasks: Iterable[Task]) -> dict[int, TaskCounts]:
    """The counts of these tasks, which come with what `with_last` adds."""
    at = now()
    base = str(connection.settings_dict["NAME"])
    last = {row.pk: marks_of(row) for row in tasks}
    with _lock:
        known = {pk: _known.get((base, pk)) for pk in last}
    good = {pk: each.counts for pk, each in known.items() if each and each.last == last[pk] and each.until > at}
    fresh = _counted([pk for pk in last if pk not in good])
    with _lock:
        _known.update({(base, pk): _Known(last[pk], later(at, TRUSTED_S), counts) for pk, counts in fresh.items()})
    return {**good, **fresh}


def forget() -> None:
    """Count the jobs of every task anew."""
    with _lock:
        _known.clear()


def _counted(tasks: list[int]) -> dict[int, TaskCounts]:
    counts = {pk: TaskCounts() for pk in tasks}
    rows = Job.objects.filter(task__in=tasks).values_list("task_id", "state", "product")  # in the order of an index
    for task, state, product, number in rows.annotate(Count("pk")):
        mine = counts[task].merges if product else counts[task].own
        mine[state] = mine.get(state, 0) + number
    return counts
