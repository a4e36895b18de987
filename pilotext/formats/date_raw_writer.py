"""Make raw files that are DATE 5 through and through, for tests, demonstrations and measurements."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from pathlib import Path

from pilotext.formats.date_raw import (
    CALIBRATION,
    END_OF_BURST,
    END_OF_RUN,
    EVENT_OVERHEAD,
    PHYSICS,
    RANDOM_TRIGGER,
    START_OF_BURST,
    START_OF_RUN,
    encode_event,
)
from pilotext.model import Record

_BURSTS = 200
"""Bursts of a long run; a file of few events has fewer, of at least _SHORTEST_BURST events."""
_SHORTEST_BURST = 50
_RANDOM_EVERY = 50
_PATTERNS = 16


class Made(Record, frozen=True):
    """A file that make_raw wrote: `events` whole physics events, `calibration` events among them."""

    path: Path
    size: int
    adler32: str
    events: int
    calibration: int


def make_raw(
    path: Path,
    *,
    run: int,
    events: int,
    calibration_every: int = 20,
    event_bytes: int = 2000,
    truncate: bool = False,
) -> Made:
    """Write a raw file: start of run, bursts of physics and calibration events, end of run.

    The same arguments always give the same bytes. One calibration event follows every `calibration_every` physics
    events (0: none), every 50th physics event is a random trigger, each has about `event_bytes` bytes. `truncate` cuts
    the file in the middle of the physics event that is 60 % on the way. Raises ValueError when an event cannot have
    that size.
    """
    cut = max(1, events * 3 // 5) if truncate else None
    size, adler = 0, 1
    counts = {PHYSICS: 0, CALIBRATION: 0}
    with path.open("wb", buffering=1 << 20) as out:
        for kind, event in _run(run, events, calibration_every, event_bytes):
            stop = kind == PHYSICS and counts[PHYSICS] + 1 == cut
            data = event[: len(event) // 2] if stop else event
            out.write(data)
            size, adler = size + len(data), zlib.adler32(data, adler)
            if stop:
                break
            counts[kind] = counts.get(kind, 0) + 1
    return Made(path, size, f"{adler:08x}", counts[PHYSICS], counts[CALIBRATION])


def _run(run: int, events: int, calibration_every: int, event_bytes: int) -> Iterator[tuple[int, bytes]]:
    """All events of a run, each with its type."""
    bodies = _bodies(run, event_bytes)
    length = max(_SHORTEST_BURST, -(-events // _BURSTS))
    number = 0
    yield START_OF_RUN, encode_event(START_OF_RUN, run=run)
    for first in range(0, events, length):
        burst, in_burst = first // length + 1, 0
        yield START_OF_BURST, encode_event(START_OF_BURST, run=run, number=number, burst=burst)
        for count in range(first + 1, min(first + length, events) + 1):
            for kind, trigger in _triggers(count, calibration_every):
                number, in_burst = number + 1, in_burst + 1
                data = bodies[number % _PATTERNS]
                place = {"run": run, "number": number, "burst": burst, "in_burst": in_burst, "time": run + number}
                yield kind, encode_event(kind, trigger=trigger, data=data, **place)
        yield END_OF_BURST, encode_event(END_OF_BURST, run=run, number=number, burst=burst)
    yield END_OF_RUN, encode_event(END_OF_RUN, run=run, number=number)


def _triggers(count: int, calibration_every: int) -> Iterator[tuple[int, int]]:
    """Type and trigger mask of the physics event `count`, and of the calibration event that may follow it."""
    yield PHYSICS, RANDOM_TRIGGER if count % _RANDOM_EVERY == 0 else 1 << count % 4
    if calibration_every and count % calibration_every == 0:
        yield CALIBRATION, 0


def _bodies(run: int, event_bytes: int) -> tuple[bytes, ...]:
    size = max(0, event_bytes - EVENT_OVERHEAD) // 4 * 4
    source = random.Random(run)  # noqa: S311  # the same bytes every time is what is wanted
    return tuple(source.randbytes(size) for _ in range(_PATTERNS))
