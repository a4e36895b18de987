"""The event header of DATE, the data acquisition of COMPASS: how it is laid out, read and written.

A raw file is a row of events; each begins with a header of little-endian 32-bit words that says how long the whole
event is. DATE 5 and DATE 3 differ in the order of their words, and the fourth word tells which it is: a version
(DATE 5) or the header's length (DATE 3). Layouts after the COMPASS decoding library, DaqDataDecoding, class DaqEvent.
"""

from __future__ import annotations

import struct
from typing import Literal

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
_SLINK_LARGEST = 0xFFFF
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
        """What `ddd --filter-CAL` keeps: calibration events, and random triggers of any type."""
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

    `data` is what the front end sent. Raises ValueError when it is no whole number of words or more than an S-Link
    block can hold (65 532 words), and struct.error when a number does not fit its field.
    """
    words = _SLINK_WORDS + len(data) // 4
    if len(data) % 4 or words > _SLINK_LARGEST:
        raise ValueError(f"{len(data)} bytes of data: an S-Link block holds whole words, at most {_SLINK_LARGEST - 3}")
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
