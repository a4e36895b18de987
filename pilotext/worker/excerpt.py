"""Excerpts of a log that is too long for an archive: its begin, its end, and the text around the evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pilotext.model import Record
from pilotext.model.log_index import Part

AROUND = 64 * 1024
"""Bytes kept around a match, where there is room for so much."""

MIN_AROUND_BYTES = 1024

_LINE_END = re.compile(rb"\r\n|\r|\n")


class ExcerptPlace(Record, frozen=True):
    """Position of evidence: the offset of the line in the log, and its number from 1."""

    offset: int
    line: int


def parts_of(size: int, room: int, places: Sequence[ExcerptPlace]) -> tuple[Part, ...]:
    """The parts of a log of `size` bytes that together take at most `room`, notes about the gaps not counted.

    A quarter is for the begin, half for the end, a quarter for what stands around the places, the first ones before
    the later ones.
    """
    if size <= room:
        return _joined([(0, size)])
    begin, end = room // 4, room // 2
    for_places = room - begin - end
    each = max(MIN_AROUND_BYTES, min(AROUND, for_places // max(1, len(places))))
    ranges = [(0, begin), (size - end, size)]
    for place in places[: for_places // each]:
        start = max(0, place.offset - each // 2)
        ranges.append((start, min(size, start + each)))
    return _joined(ranges)


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[Part, ...]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    parts: list[Part] = []
    at = 0
    for number, (start, end) in enumerate(joined):
        at += len(gap_note(joined[number - 1][1] if number else 0, start))
        parts.append(Part(start, end, at, 1 if start == 0 else None))
        at += end - start
    return tuple(parts)


def gap_note(start: int, end: int) -> bytes:
    """The line that stands for bytes which are left out; nothing where none are."""
    return f"\n[pilotext: bytes {start} to {end} are left out]\n".encode() if end > start else b""


def lines_in(pieces: Iterable[bytes]) -> int:
    """Count line ends as the classifier counts them: `\\n`, `\\r\\n`, `\\r`."""
    count = 0
    ended_with_cr = False
    for piece in pieces:
        count += sum(1 for _ in _LINE_END.finditer(piece)) - (ended_with_cr and piece.startswith(b"\n"))
        ended_with_cr = piece.endswith(b"\r") or (not piece and ended_with_cr)
    return count


def places_in(part: Part, places: Iterable[ExcerptPlace]) -> Iterator[ExcerptPlace]:
    """The places that a part shows."""
    return (place for place in places if part.start <= place.offset < part.end)
