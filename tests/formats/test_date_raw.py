from __future__ import annotations

import itertools
import struct
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotext.errors import FormatError
from pilotext.formats.date_raw import (
    CALIBRATION,
    END_OF_RUN,
    MAGIC,
    PHYSICS,
    RANDOM_TRIGGER,
    START_OF_BURST,
    START_OF_RUN,
    RawSummary,
    copy_events,
    encode_event,
    iter_headers,
    walk,
)

event_lists = st.lists(
    st.builds(
        lambda kind, number, trigger, words: encode_event(
            kind, run=275772, number=number, trigger=trigger, data=bytes(4 * words)
        ),
        kind=st.sampled_from([START_OF_RUN, END_OF_RUN, START_OF_BURST, PHYSICS, CALIBRATION]),
        number=st.integers(0, 2**32 - 1),
        trigger=st.sampled_from([1, 2, RANDOM_TRIGGER]),
        words=st.one_of(st.integers(0, 20), st.integers(2000, 5000)),
    ),
    max_size=12,
)
few = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def walked(folder: Path, data: bytes) -> RawSummary:
    path = folder / "cdr12019-275772.raw"
    path.write_bytes(data)
    return walk(path)


def kinds(events: list[bytes]) -> dict[int, int]:
    return dict(Counter(struct.unpack_from("<I", event, 16)[0] for event in events))


def bytes_read() -> int:
    """All bytes that this process has ever read."""
    return int(Path("/proc/self/io").read_text().split()[1])


def date_3(kind: int, *, number: int, size: int = 80, length: int = 80) -> bytes:
    head = struct.pack("<20I", size, MAGIC, kind, length, 22018, 1, number, number, *[0] * 12)
    return head + bytes(max(0, size - 80))


def physics(number: int) -> bytes:
    return encode_event(PHYSICS, run=275772, number=number, data=bytes(40))


@few
@given(events=event_lists)
def test_every_event_is_counted_by_its_type(tmp_path: Path, events: list[bytes]) -> None:
    summary = walked(tmp_path, b"".join(events))

    assert summary.events == kinds(events)
    assert summary.total == len(events)
    assert summary.size == sum(map(len, events))
    assert summary.damage is None


@few
@given(events=event_lists.filter(bool), data=st.data())
def test_a_cut_anywhere_is_truncation_unless_it_falls_between_two_events(
    tmp_path: Path, events: list[bytes], data: st.DataObject
) -> None:
    content = b"".join(events)
    starts = [0, *itertools.accumulate(map(len, events))]
    cut = data.draw(st.one_of(st.integers(0, len(content)), st.sampled_from(starts)))
    whole = sum(1 for start in starts[1:] if start <= cut)

    summary = walked(tmp_path, content[:cut])

    assert summary.events == kinds(events[:whole])
    if cut in starts:
        assert summary.damage is None
    else:
        assert summary.damage is not None
        assert (summary.damage.kind, summary.damage.offset) == ("truncated", starts[whole])


@few
@given(events=event_lists, noise=st.binary(max_size=400))
def test_no_bytes_whatever_crash_the_walk_or_hide_the_events_before_them(
    tmp_path: Path, events: list[bytes], noise: bytes
) -> None:
    try:
        summary = walked(tmp_path, physics(1) + b"".join(events) + noise)
    except FormatError:
        pytest.fail("a file that begins with an event is a DATE file")
    assert summary.total >= 1 + len(events)
    assert summary.damage is not None or not noise


def test_an_empty_file_has_no_events(tmp_path: Path) -> None:
    assert walked(tmp_path, b"") == RawSummary(0, {}, (), None, None, None, None)


@pytest.mark.parametrize("content", [b"PanDA message: the file is empty\n", b"root\0\0\xf3\xc0" + bytes(100)])
def test_a_file_of_another_kind_is_refused_with_the_byte_that_shows_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match="not a DATE file") as caught:
        walked(tmp_path, content)
    assert caught.value.offset == 4


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        walk(tmp_path / "cdr12019-275772.raw")


def test_numbers_of_run_and_events_are_those_of_the_physics_events(tmp_path: Path) -> None:
    summary = walked(
        tmp_path, encode_event(START_OF_RUN, run=7) + physics(12) + physics(15) + encode_event(CALIBRATION, run=7)
    )

    assert summary.runs == (7, 275772)
    assert (summary.first_event, summary.last_event) == (12, 15)
    assert (summary.physics, summary.calibration, summary.date_version) == (2, 1, 5)


def test_a_run_that_was_started_and_not_ended_is_a_fact_and_no_damage(tmp_path: Path) -> None:
    started = encode_event(START_OF_RUN, run=7) + physics(1)

    cut = walked(tmp_path, started)
    whole = walked(tmp_path, started + encode_event(END_OF_RUN, run=7))

    assert (cut.started, cut.ended, cut.damage) == (True, False, None)
    assert (whole.started, whole.ended) == (True, True)


def test_date_3_files_are_walked_too(tmp_path: Path) -> None:
    summary = walked(tmp_path, date_3(PHYSICS, number=3, size=120) + date_3(CALIBRATION, number=4))

    assert (summary.events, summary.date_version, summary.runs) == ({PHYSICS: 1, CALIBRATION: 1}, 3, (22018,))
    assert summary.first_event == 3


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (b"\x10\0\0\0\xff\x5a\x1e\xda" + bytes(60), "the magic word is da1e5aff, not da1e5afe"),
        (struct.pack("<17I", 0, MAGIC, 68, 0x30006, *[0] * 13), "0 bytes, is less than its header's, 68"),
        (struct.pack("<17I", 70, MAGIC, 68, 0x30006, *[0] * 13), "70 bytes, is not a whole number of 32-bit words"),
        (struct.pack("<17I", 64, MAGIC, 68, 0x30006, *[0] * 13), "64 bytes, is less than its header's, 68"),
        (struct.pack("<17I", 68, MAGIC, 4, 0x30006, *[0] * 13), "it has 4 bytes; the shortest has 68"),
        (struct.pack("<17I", 2**31, MAGIC, 68, 0x30006, *[0] * 13), "more than any event can have"),
        (struct.pack("<17I", 2**32 - 4, MAGIC, 68, 0x30006, *[0] * 13), "more than any event can have"),
        (date_3(PHYSICS, number=1, length=72), "it has 72 bytes; the shortest has 80"),
    ],
)
def test_damage_is_named_with_the_place_of_the_bad_event(tmp_path: Path, bad: bytes, sentence: str) -> None:
    good = physics(1)

    summary = walked(tmp_path, good + bad + physics(2))

    assert summary.events == {PHYSICS: 1}
    assert summary.damage is not None
    assert (summary.damage.kind, summary.damage.offset) == ("damaged", len(good))
    assert sentence in summary.damage.text


def test_a_size_of_four_gigabytes_costs_no_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    walked(tmp_path, physics(1) + struct.pack("<17I", 2**32 - 4, MAGIC, 68, 0x30006, *[0] * 13))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2**20


def test_event_bodies_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "cdr12019-275772.raw"
    event = struct.pack("<17I", 200 * 2**20, MAGIC, 68, 0x30006, PHYSICS, *[0] * 12)
    with path.open("wb") as file:  # three events of 200 MB, of which the disk holds only the headers
        for number in range(3):
            file.seek(number * 200 * 2**20)
            file.write(event)
        file.truncate(600 * 2**20)
    before = bytes_read()

    assert walk(path).physics == 3
    assert bytes_read() - before < 100_000


def test_unknown_types_are_counted_together(tmp_path: Path) -> None:
    strange = b"".join(encode_event(kind, run=1) for kind in (40, 41, 2**32 - 1))

    assert walked(tmp_path, physics(1) + strange).events == {PHYSICS: 1, 0: 3}


def test_headers_tell_what_stands_where_and_stop_with_an_error_at_damage(tmp_path: Path) -> None:
    path = tmp_path / "cdr12019-275772.raw"
    path.write_bytes(physics(1) + physics(2) + physics(3)[:100])
    seen: list[int] = []

    with pytest.raises(FormatError, match="ends inside an event") as caught:
        seen.extend(header.number for header in iter_headers(path))
    assert seen == [1, 2]
    assert caught.value.offset == 2 * len(physics(1))


def test_a_filtered_copy_holds_just_the_wanted_events_and_filtering_it_again_changes_nothing(tmp_path: Path) -> None:
    raw, once, twice = (tmp_path / name for name in ("raw", "once", "twice"))
    wanted = [encode_event(CALIBRATION, run=1, data=bytes(8)), encode_event(PHYSICS, run=1, trigger=RANDOM_TRIGGER)]
    raw.write_bytes(physics(1) + wanted[0] + physics(2) + wanted[1])

    copied = copy_events(raw, once, lambda header: header.random_or_calibration)
    copy_events(once, twice, lambda header: header.random_or_calibration)

    assert once.read_bytes() == twice.read_bytes() == b"".join(wanted)
    assert (copied.events, copied.size, copied.damage) == (2, sum(map(len, wanted)), None)


def test_a_copy_ends_at_the_damage_of_its_source_and_says_so(tmp_path: Path) -> None:
    raw, copy = tmp_path / "raw", tmp_path / "copy"
    raw.write_bytes(physics(1) + physics(2)[:-4])

    copied = copy_events(raw, copy, lambda header: True)

    assert copy.read_bytes() == physics(1)
    assert copied.damage is not None
    assert copied.damage.kind == "truncated"


def test_a_walk_over_many_small_events_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "cdr12019-275772.raw"
    path.write_bytes(physics(1) * 20_000)
    ticks: list[None] = []

    def tick() -> None:
        ticks.append(None)
        if len(ticks) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        walk(path, tick)
    assert walk(path).physics == 20_000
