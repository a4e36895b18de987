"""Numbers of a report that have columns of their own: time, CPU, memory, events, and the bytes by storage server."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pilotext.model.report import Transfer, Usage
from pilotext.redaction import shortened
from pilotext.serialization.json import ready
from pilotext.storage.urls import server_of

MAX_NUMBER = 1e15
"""Of everything in a report that is counted or measured: a payload may write any number."""

COLUMNS = ("wall_s", "cpu_s", "peak_memory_mb", "events", "transfers")
"""Columns of an attempt that its report fills."""

MAX_STORAGE_CHARACTERS = 100
MAX_STORAGES = 8
"""Storage servers of an attempt whose bytes are kept apart; those of the others are left out."""


class MovedBytes(msgspec.Struct, frozen=True):
    """Files that an attempt moved from (`in`) or to (`out`) a storage server."""

    direction: str
    storage: str
    files: int
    bytes: int
    seconds: float


class _Counted(msgspec.Struct):
    counters: dict[str, int | float] = {}


class _Course(msgspec.Struct):
    """The fields that are read of a kept report."""

    verdict: _Counted = msgspec.field(default_factory=_Counted)
    usage: Usage = Usage()
    inputs: tuple[Transfer, ...] = ()
    outputs: tuple[Transfer, ...] = ()


def columns_of_kept(report: str | bytes) -> dict[str, Any]:
    """Return the same columns for a kept report; all are None for one that is of another version, or damaged."""
    try:
        told = msgspec.json.decode(report, type=ready(_Course))
    except msgspec.DecodeError:
        return dict.fromkeys(COLUMNS)
    return usage_columns(told.usage, told.verdict.counters, told.inputs, told.outputs)


def usage_columns(
    usage: Usage, counters: Mapping[str, float], inputs: Sequence[Transfer], outputs: Sequence[Transfer]
) -> dict[str, Any]:
    """Return the columns of an attempt that its report fills, by their names."""
    events = counters.get("events_processed")
    moved = [*_moved("in", inputs), *_moved("out", outputs)]
    return {
        "wall_s": _bounded(usage.wall_s),
        "cpu_s": _bounded(usage.cpu_s),
        "peak_memory_mb": _bounded(usage.peak_memory_mb),
        "events": None if events is None else int(_bounded(events)),
        "transfers": msgspec.to_builtins(moved) or None,
    }


def _moved(direction: str, files: Sequence[Transfer]) -> Iterator[MovedBytes]:
    by_storage: dict[str, list[Transfer]] = {}
    for file in files:
        if file.url:
            by_storage.setdefault(_storage(file.url), []).append(file)
    for storage in list(by_storage)[:MAX_STORAGES]:
        mine = by_storage[storage]
        size = int(_bounded(sum(file.size for file in mine)))
        yield MovedBytes(direction, storage, len(mine), size, _bounded(sum(file.seconds for file in mine)))


def _storage(url: str) -> str:
    try:
        return shortened(server_of(url), MAX_STORAGE_CHARACTERS)
    except ValueError:  # no URL of XRootD, whatever it says
        return "malformed"


def _bounded(number: float) -> float:
    return min(max(0.0, number), MAX_NUMBER) if math.isfinite(number) else 0.0
