"""Step of the cycle that counts attempts and transfers by hour, from the attempts themselves.

Each hour is counted again until nothing in it can change any more: the current one and the one before, those with
attempts whose published files are still compared, and, once an hour, those with lost attempts that may still report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from django.db.models import Count, Max, Min, Q, Sum, Value
from django.db.models.functions import Coalesce

from pilotext.server.database import HOURS_LOCK, hold_until_committed, transact
from pilotext.server.production.models import Attempt, HourlyAttempts, HourlyTransfers
from pilotext.server.production.models.statistics import STARTED
from pilotext.server.production.reports.usage import MovedBytes
from pilotext.server.production.states import AttemptState
from pilotext.server.times import HOUR_S, from_seconds, now, to_seconds

Row = tuple[Any, ...]

Hourly = TypeVar("Hourly", HourlyAttempts, HourlyTransfers)

HOURS_AT_ONCE = 48
"""Hours that one step counts at the most; the next one goes on."""

MAY_CHANGE_H = 14 * 24
"""Age in hours at which an hour is not looked at again, whatever is in it."""

_ATTEMPTS = ("task_id", "site_id", "state", "cause", "attempts", "wall_s", "cpu_s", "peak_memory_mb", "events")
_TRANSFERS = ("site_id", "storage", "direction", "files", "bytes", "seconds")


def count_hours() -> int:
    """Count the hours in which something may have happened since the last time; returns how many are still left."""
    current = hour_of(now())
    last = HourlyAttempts.objects.aggregate(last=Max("hour"))["last"]
    for hour in _unsettled(current, last):
        count_hour(hour)
    hours = _hours(None if last is None else last - 1, current)
    for _, hour in zip(range(HOURS_AT_ONCE), hours, strict=False):
        count_hour(hour)
    return int(next(hours, None) is not None)


def hour_of(at: datetime) -> int:
    """Return the hour since 1970 in which a point in time lies."""
    return int(to_seconds(at) // HOUR_S)


def begin_of(hour: int) -> datetime:
    """Return the point in time at which an hour begins."""
    return from_seconds(hour * HOUR_S)


def count_hour(hour: int) -> None:
    """Write the rows of an hour; nothing is written where they are as they were."""
    _write(HourlyAttempts, hour, _ATTEMPTS, lambda: {*_started(hour), *_ended(hour)})
    _write(HourlyTransfers, hour, _TRANSFERS, lambda: {*_transfers(hour)})


def _unsettled(current: int, last: int | None) -> list[int]:
    """Return earlier hours with attempts whose end is not the last word."""
    if last is None:
        return []
    states = (AttemptState.VERIFYING, AttemptState.LOST) if current > last else (AttemptState.VERIFYING,)
    rows = HourlyAttempts.objects.filter(hour__gte=current - MAY_CHANGE_H, hour__lt=last - 1, state__in=states)
    return list(rows.order_by("hour").values_list("hour", flat=True).distinct())


def _hours(begin: int | None, current: int) -> Iterator[int]:
    """Yield the hours from one to the current one in which attempts were given out or ended; the first one, always."""
    hour = _next(None) if begin is None else begin
    while hour is not None and hour <= current:
        yield hour
        hour = _next(hour + 1)


def _next(hour: int | None) -> int | None:
    """Return the first hour from this one on in which an attempt was given out or has ended."""
    rows = Attempt.objects.all()
    leased = (rows if hour is None else rows.filter(leased__gte=begin_of(hour))).aggregate(first=Min("leased"))["first"]
    ended = (rows if hour is None else rows.filter(ended__gte=begin_of(hour))).aggregate(first=Min("ended"))["first"]
    found = [hour_of(at) for at in (leased, ended) if at is not None]
    return min(found, default=None)


def _within(column: str, hour: int) -> Q:
    return Q(**{f"{column}__gte": begin_of(hour), f"{column}__lt": begin_of(hour + 1)})


def _started(hour: int) -> Iterator[Row]:
    rows = Attempt.objects.filter(_within("leased", hour)).order_by().values_list("task", "site")
    for task, site, number in rows.annotate(Count("pk")):
        yield task, site, STARTED, "", number, 0.0, 0.0, 0.0, 0


def _ended(hour: int) -> Iterator[Row]:
    rows = Attempt.objects.filter(_within("ended", hour)).order_by().values_list("task", "site", "state", "cause")
    sums = {f"sum_{name}": Coalesce(Sum(name), Value(0.0)) for name in ("wall_s", "cpu_s")}
    sums |= {"highest": Coalesce(Max("peak_memory_mb"), Value(0.0)), "sum_events": Coalesce(Sum("events"), 0)}
    yield from rows.annotate(number=Count("pk"), **sums)


def _transfers(hour: int) -> Iterator[Row]:
    moved = Attempt.objects.filter(_within("ended", hour), transfers__isnull=False).values_list("site", "transfers")
    sums: defaultdict[tuple[int, str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for site, transfers in moved.iterator():
        for each in msgspec.convert(transfers, list[MovedBytes]):
            numbers = sums[site, each.storage, each.direction]
            for place, number in enumerate((each.files, each.bytes, each.seconds)):
                numbers[place] += number
    for (site, storage, direction), numbers in sorted(sums.items()):
        yield site, storage, direction, int(numbers[0]), int(numbers[1]), numbers[2]


def _write(model: type[Hourly], hour: int, names: Sequence[str], count: Callable[[], set[Row]]) -> None:
    mine = model._default_manager.filter(hour=hour)
    if set(mine.values_list(*names)) == count():
        return

    def replace() -> None:
        hold_until_committed(HOURS_LOCK)  # another process may have counted the same hour meanwhile, with later rows
        rows = [dict(zip(names, row, strict=True)) for row in count()]
        mine.delete()
        model._default_manager.bulk_create([model(hour=hour, **row) for row in rows])

    transact(replace)
