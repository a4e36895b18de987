from __future__ import annotations

import struct

import pytest

from pilotext.formats.date_raw import CALIBRATION, PHYSICS, RANDOM_TRIGGER, decode_header, encode_event


def test_what_is_encoded_is_decoded() -> None:
    event = encode_event(PHYSICS, run=275772, number=48211, burst=17, in_burst=9, trigger=0x80000005, data=b"wxyz")

    header = decode_header(b"....." + event, 5, 1000)

    assert (header.offset, header.size, header.length, header.date_version) == (1000, len(event), 68, 5)
    assert (header.type, header.run, header.number) == (PHYSICS, 275772, 48211)
    assert (header.burst, header.in_burst, header.trigger) == (17, 9, 0x80000005)


def test_a_super_event_holds_one_sub_event_with_equipment_slink_and_data() -> None:
    event = encode_event(PHYSICS, run=1, source=380, data=b"\1\2\3\4" * 5)

    sub_event = decode_header(event, 68, 68)
    equipment_size, equipment_type = struct.unpack_from("<2I", event, 2 * 68)
    (slink,) = struct.unpack_from("<I", event, 2 * 68 + 28)

    assert 68 + sub_event.size == len(event)
    assert (equipment_size, equipment_type) == (sub_event.size - 68, 64)
    assert (slink & 0xFFFF, slink >> 16) == (3 + 5, 380)
    assert event.endswith(b"\1\2\3\4" * 5)


def test_a_date_3_header_is_told_by_its_fourth_word() -> None:
    words = [80, 0xDA1E5AFE, CALIBRATION, 80, 22018, 3, 77, 7, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, RANDOM_TRIGGER]

    header = decode_header(struct.pack("<20I", *words), 0, 0)

    assert (header.date_version, header.length, header.type) == (3, 80, CALIBRATION)
    assert (header.run, header.burst, header.number, header.in_burst) == (22018, 3, 77, 7)
    assert header.trigger == RANDOM_TRIGGER


@pytest.mark.parametrize(
    ("kind", "trigger", "kept"),
    [(PHYSICS, 0, False), (PHYSICS, 1, False), (PHYSICS, RANDOM_TRIGGER | 1, True), (CALIBRATION, 0, True)],
)
def test_calibration_events_and_random_triggers_are_what_the_filter_keeps(kind: int, trigger: int, kept: bool) -> None:
    assert decode_header(encode_event(kind, run=1, trigger=trigger), 0, 0).random_or_calibration is kept


@pytest.mark.parametrize("size", [3, 4 * 65_533])
def test_data_that_no_slink_block_can_hold_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes of data"):
        encode_event(PHYSICS, run=1, data=bytes(size))


def test_the_largest_slink_block_is_accepted() -> None:
    assert len(encode_event(PHYSICS, run=1, data=bytes(4 * 65_532))) == 44 * 4 + 4 * 65_532
