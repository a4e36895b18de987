"""The samples of a payload of any length, thinned to at most 1000 that still show its peaks of memory."""

from __future__ import annotations

from typing import Any

from pilotext.model.report import Series

MOST = 1000


class SeriesKeeper:
    """Takes samples one by one; when there are too many, of two neighbours the one with more memory stays."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._every = 1
        self._waiting: dict[str, Any] | None = None
        self._waited = 0
        self._memory_sum = 0.0
        self._seen = 0

    @property
    def average_memory_mb(self) -> float:
        return round(self._memory_sum / self._seen, 1) if self._seen else 0.0

    def add(self, **row: float) -> None:
        """Add one sample; the fields are the columns of Series."""
        self._seen += 1
        self._memory_sum += row["memory_mb"]
        self._waiting = row if self._waiting is None else _richer(self._waiting, row)
        self._waited += 1
        if self._waited == self._every:
            self._rows.append(self._waiting)
            self._waiting, self._waited = None, 0
        if len(self._rows) == MOST:
            self._rows = [_richer(*pair) for pair in zip(self._rows[::2], self._rows[1::2], strict=True)]
            self._every *= 2

    def series(self) -> Series:
        rows = [*self._rows, *filter(None, [self._waiting])]
        columns: dict[str, Any] = {name: tuple(_short(row[name]) for row in rows) for name in Series.__struct_fields__}
        return Series(**columns)


def _richer(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return one if one["memory_mb"] > other["memory_mb"] else other


def _short(number: float) -> float:
    return round(number, 2) if isinstance(number, float) else number
