"""Raw data files in the format of DATE, a system for data acquisition: event headers, and a walk over the events.

A raw file is a sequence of events; each begins with a header of little-endian 32-bit words that gives the length of the
whole event. DATE 5 and DATE 3 differ in the order of their words, and the fourth word tells which it is: a version
(DATE 5) or the header's length (DATE 3). Layouts after the COMPASS decoding library, DaqDataDecoding, class DaqEvent.

Event bodies are never read for counting, and a size found in a file is never trusted: it is compared with the rest of
the file before it is used.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pilotext.errors import FormatError
from pilotext.model import Record

MAGIC = 0xDA1E5AFE

START_OF_RUN = 1
END_OF_RUN = 2
START_OF_BURST = 5
END_OF_BURST = 6
PHYSICS = 7
CALIBRATION = 8

RANDOM_TRIGGER = 1 << 11

HEADER_5 = 68
HEADER_3 = 80
MIN_VERSION = 0xFFFF
"""A fourth word from here on is a DATE 5 version; below it is the length of a DATE 3 header."""
VERSION = 0x00030006
SUB_EVENTS = 0x10
"""In the third word of the type attributes: this event is made of sub-events."""

START = struct.Struct("<8I")
"""The words that both layouts have in their first 32 bytes, in an order of their own."""

_WHOLE_5 = struct.Struct("<17I")
_WHOLE_3 = struct.Struct("<20I")
# A super-event with one sub-event: two headers, the equipment header (7 words), the S-Link header (3 words).
_EVENT = struct.Struct("<44I")
_EQUIPMENT_TYPE = 64
_EQUIPMENT_SIZE = 28
_SLINK_WORDS = 3
_MAX_SLINK_WORDS = 0xFFFF
_NO_LDC = 0xFFFFFFFF


class Header(Record, frozen=True):
    """One event header: where the event stands in the file, and what it is.

    `size` is the whole event in bytes with its header, whose own length is `length`; `number` counts events in the run,
    `in_burst` in the burst; `trigger` is the mask of triggers, bit 0 first.
    """

    offset: int
    size: int
    length: int
    date_version: Literal[3, 5]
    type: int
    run: int
    number: int
    burst: int
    in_burst: int
    trigger: int

    @property
    def random_or_calibration(self) -> bool:
        """Return whether it is a calibration event or has a random trigger: a filter for calibration keeps these."""
        return self.type == CALIBRATION or bool(self.trigger & RANDOM_TRIGGER)


def decode_header(data: bytes, at: int, offset: int) -> Header:
    """The header that starts at `data[at]`, which stands at byte `offset` of its file; the caller has checked it."""
    if START.unpack_from(data, at)[3] >= MIN_VERSION:
        size, _, length, _, kind, run, number, place, *rest = _WHOLE_5.unpack_from(data, at)
        trigger = (rest[0] >> 1) + (rest[1] << 31)
        return Header(offset, size, length, 5, kind, run, number, place >> 20, place & 0xFFFFF, trigger)
    size, _, kind, length, run, burst, number, in_burst, *rest = _WHOLE_3.unpack_from(data, at)
    return Header(offset, size, length, 3, kind, run, number, burst, in_burst, rest[-1])


def encode_event(
    kind: int,
    *,
    run: int,
    number: int = 0,
    burst: int = 0,
    in_burst: int = 0,
    trigger: int = 0,
    data: bytes = b"",
    source: int = 1,
    time: int = 0,
) -> bytes:
    """One DATE 5 event as the event builder writes it: a super-event with one sub-event, equipment and S-Link block.

    `data` is what the front end sent. Raises ValueError when it is not a whole number of words, or more than an S-Link
    block can hold (65 532 words), and struct.error when a number does not fit its field.
    """
    words = _SLINK_WORDS + len(data) // 4
    if len(data) % 4 or words > _MAX_SLINK_WORDS:
        raise ValueError(
            f"{len(data)} bytes of data: an S-Link block holds whole words, at most {_MAX_SLINK_WORDS - 3}"
        )
    equipment = _EQUIPMENT_SIZE + 4 * words
    place = burst << 20 | in_burst
    same = (kind, run, number, place, (trigger << 1) & 0xFFFFFFFF, trigger >> 31)
    headers = _EVENT.pack(
        *(2 * HEADER_5 + equipment, MAGIC, HEADER_5, VERSION, *same, 0, 0, 0, SUB_EVENTS, _NO_LDC, 0, time),
        *(HEADER_5 + equipment, MAGIC, HEADER_5, VERSION, *same, 1, 0, 0, 0, source, 0, time),
        *(equipment, _EQUIPMENT_TYPE, source, 0, 0, 0, 4),
        *(words | source << 16, place, 8 << 8),
    )
    return headers + data


EVENT_OVERHEAD = _EVENT.size
"""Bytes of an encoded event before its data."""


# Small events are read by the block, large ones are jumped over: a system call costs about as much as copying 8 kB.
_SMALL_EVENT = 8 * 1024
_BLOCK = 256 * 1024
_HEADERS_ONLY = 128
_COPY_BLOCK = 1024 * 1024

MAX_EVENT_BYTES = 256 * 1024 * 1024
"""The largest size that is believed of an event beyond the end of its file; above it, the size itself is damaged."""

_KNOWN_TYPES = 32
_MANY_RUNS = 16


class Damage(Record, frozen=True):
    """Damage of a raw file: `truncated` (it ends inside an event) or `damaged` (something is not an event).

    `offset` is the byte where the bad event starts, `text` the sentence for people.
    """

    kind: Literal["truncated", "damaged"]
    offset: int
    text: str


class RawSummary(Record, frozen=True):
    """Result of a walk over a raw file, up to its end or its damage.

    `events` counts whole events by DATE type; types that DATE does not have are counted as 0. `runs` holds the run
    numbers seen (at most 16), `first_event` and `last_event` the numbers of the first and last physics event.
    """

    size: int
    events: dict[int, int]
    runs: tuple[int, ...]
    first_event: int | None
    last_event: int | None
    date_version: int | None
    damage: Damage | None

    @property
    def total(self) -> int:
        return sum(self.events.values())

    @property
    def physics(self) -> int:
        return self.events.get(PHYSICS, 0)

    @property
    def calibration(self) -> int:
        return self.events.get(CALIBRATION, 0)

    @property
    def started(self) -> bool:
        """The file holds a start of run."""
        return START_OF_RUN in self.events

    @property
    def ended(self) -> bool:
        """The file holds an end of run. One that `started` and has not ended may have been cut between two events."""
        return END_OF_RUN in self.events


class CopiedEvents(Record, frozen=True):
    """Events written by copy_events, and the damage of the source that ended it, if any."""

    events: int
    size: int
    damage: Damage | None


def walk(path: Path, tick: Callable[[], None] = lambda: None) -> RawSummary:
    """Count the events of a raw or dump file.

    An empty file has no events. `tick` is called at each read of the file and may raise. Raises FormatError when the
    file does not begin like a DATE file at all (for example text), and OSError when it cannot be read.
    """
    events: dict[int, int] = {}
    runs: list[int] = []
    first = last = version = None
    with _Scan(path, tick) as scan:
        for _, _, words in scan:
            if words[3] >= MIN_VERSION:
                version, kind, run = 5, words[4], words[5]
            else:
                version, kind, run = 3, words[2], words[4]
            if kind >= _KNOWN_TYPES:
                kind = 0
            events[kind] = events.get(kind, 0) + 1
            if run not in runs and len(runs) < _MANY_RUNS:
                runs.append(run)
            if kind == PHYSICS:
                last = words[6]
                first = last if first is None else first
        return RawSummary(scan.end, events, tuple(runs), first, last, version, scan.damage)


def iter_headers(path: Path) -> Iterator[Header]:
    """The headers of all whole events, in the order of the file.

    Raises FormatError at the place where the file is truncated, damaged, or not a DATE file at all.
    """
    with _Scan(path) as scan:
        for offset, at, _ in scan:
            yield decode_header(scan.block, at, offset)
        if scan.damage:
            raise FormatError(path, scan.damage.offset, scan.damage.text)


def copy_events(source: Path, target: Path, keep: Callable[[Header], bool]) -> CopiedEvents:
    """Write the events that `keep` wants, byte by byte as they are, to `target`, which is replaced.

    Stops at damage of the source and reports it. Raises FormatError and OSError as `walk` does.
    """
    events = size = 0
    with _Scan(source) as scan, target.open("wb") as out:
        for offset, at, _ in scan:
            header = decode_header(scan.block, at, offset)
            if keep(header):
                for piece in scan.body(header):
                    out.write(piece)
                events, size = events + 1, size + header.size
        return CopiedEvents(events, size, scan.damage)


class _Scan:
    """One pass over the headers of a file: iterating gives (offset, place in `block`, the first eight words).

    Reads by position into a buffer of its own: a mapped file that somebody shortens would end the program with SIGBUS.
    """

    def __init__(self, path: Path, tick: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._tick = tick
        self.block = b""
        self.damage: Damage | None = None

    def __enter__(self) -> _Scan:
        self._file = self.path.open("rb", buffering=0)
        self.end = os.fstat(self._file.fileno()).st_size
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        read, number, unpack = os.pread, self._file.fileno(), START.unpack_from
        offset = base = 0
        size = _SMALL_EVENT
        while offset < self.end:
            at = offset - base
            if at + HEADER_3 > len(self.block) and base + len(self.block) < self.end:
                self._tick()
                self.block = read(number, _BLOCK if size < _SMALL_EVENT else _HEADERS_ONLY, offset)
                base, at = offset, 0
            if at + START.size > len(self.block):
                self.damage = self._judge(offset, at)
                return
            words = unpack(self.block, at)
            size, magic, third, fourth = words[:4]
            length, shortest = (third, HEADER_5) if fourth >= MIN_VERSION else (fourth, HEADER_3)
            if magic != MAGIC or size & 3 or not shortest <= length <= size <= self.end - offset:
                self.damage = self._judge(offset, at)
                return
            yield offset, at, words
            offset += size

    def body(self, header: Header) -> Iterator[bytes]:
        """The bytes of one event in pieces. Raises FormatError when the file has become shorter meanwhile."""
        at, end = header.offset, header.offset + header.size
        while at < end:
            piece = os.pread(self._file.fileno(), min(_COPY_BLOCK, end - at), at)
            if not piece:
                raise FormatError(self.path, at, "the file became shorter while it was read.")
            yield piece
            at += len(piece)

    def _judge(self, offset: int, at: int) -> Damage:
        """Damage of the event at `offset`; the block has its first 32 bytes if they exist."""
        head = self.block[at : at + HEADER_3]
        rest = self.end - offset
        seen = head[4:8]
        if seen != MAGIC.to_bytes(4, "little")[: len(seen)]:
            text = f"this is not an event: the magic word is {seen[::-1].hex()}, not {MAGIC:x}."
            if offset == 0:
                raise FormatError(self.path, 4, f"not a DATE file: {text}")
            return Damage("damaged", offset, f"{text} The size of the event before may be wrong too.")
        if len(head) < START.size:
            return Damage("truncated", offset, f"the file ends inside an event header, {rest} bytes after its start.")
        return _judge_sizes(offset, rest, START.unpack_from(head))


def _judge_sizes(offset: int, rest: int, words: tuple[int, ...]) -> Damage:
    size, _, third, fourth = words[:4]
    length, shortest = (third, HEADER_5) if fourth >= MIN_VERSION else (fourth, HEADER_3)
    if length < shortest:
        return Damage("damaged", offset, f"the header says that it has {length} bytes; the shortest has {shortest}.")
    if size % 4:
        return Damage("damaged", offset, f"the event's size, {size} bytes, is not a whole number of 32-bit words.")
    if size < length:
        return Damage("damaged", offset, f"the event's size, {size} bytes, is less than its header's, {length}.")
    if size > MAX_EVENT_BYTES:
        return Damage("damaged", offset, f"the event's size, {size} bytes, is more than any event can have.")
    return Damage("truncated", offset, f"the file ends inside an event: {rest} of its {size} bytes are there.")
