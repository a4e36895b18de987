"""Points in time: datetimes in UTC within the server, seconds since 1970 in everything that leaves it.

API, command line, reports and metrics speak of seconds; this module is where they become datetimes, and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, overload

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, Model, TextField
from django.db.models.sql.compiler import SQLCompiler
from django.utils.timezone import now

__all__ = [
    "DAY_S",
    "EPOCH",
    "FOREVER",
    "HOUR_S",
    "Day",
    "earlier",
    "from_seconds",
    "later",
    "now",
    "record_fields",
    "to_seconds",
]

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Default of columns such as `busy_until`: since ever."""

FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@overload
def to_seconds(at: datetime) -> float: ...
@overload
def to_seconds(at: None) -> None: ...
@overload
def to_seconds(at: datetime | None) -> float | None: ...
def to_seconds(at: datetime | None) -> float | None:
    """Return the seconds since 1970."""
    return None if at is None else at.timestamp()


def from_seconds(seconds: float) -> datetime:
    """Return the point in time so many seconds after 1970, between EPOCH and FOREVER."""
    return datetime.fromtimestamp(min(max(0.0, seconds), FOREVER.timestamp()), UTC)


def later(at: datetime, seconds: float) -> datetime:
    """Return the point in time so many seconds after another; FOREVER at most, whatever a profile says."""
    return from_seconds(at.timestamp() + seconds)


def earlier(at: datetime, seconds: float) -> datetime:
    """Return the point in time so many seconds before another."""
    return later(at, -seconds)


def record_fields(row: Model, names: Iterable[str]) -> dict[str, Any]:
    """Return columns of a row as the records of the API have them."""
    values = ((name, getattr(row, name)) for name in names)
    return {name: to_seconds(value) if isinstance(value, datetime) else value for name, value in values}


class Day(Func):
    """Day of a column of points in time in UTC, as text.

    `TruncDate` gives the same, but calls Python for each row on SQLite, which stores points in time as text.
    """

    output_field = TextField()
    arity = 1

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, 10)", **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        day = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
        return self.as_sql(compiler, connection, template=day, **context)
