from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from fixtures.raw_names import raw_name
from pilotext.formats.date_raw import END_OF_BURST, START_OF_BURST, iter_headers, walk
from pilotext.formats.date_raw_writer import make_raw


def test_a_made_file_is_a_whole_run_with_the_events_asked_for(tmp_path: Path) -> None:
    made = make_raw(tmp_path / raw_name(275772, 12019), run=275772, events=120, calibration_every=20)

    summary = walk(tmp_path / "cdr12019-275772.raw")
    assert (summary.physics, summary.calibration) == (made.events, made.calibration) == (120, 6)
    assert (summary.runs, summary.started, summary.ended, summary.damage) == ((275772,), True, True, None)
    assert summary.events[START_OF_BURST] == summary.events[END_OF_BURST] == 3


def test_the_size_and_checksum_told_are_those_of_the_file(tmp_path: Path) -> None:
    made = make_raw(tmp_path / "a.raw", run=1, events=30)

    content = made.path.read_bytes()
    assert (made.size, made.adler32) == (len(content), f"{zlib.adler32(content):08x}")


def test_the_same_arguments_make_the_same_bytes_and_another_run_others(tmp_path: Path) -> None:
    one, same, other = (
        make_raw(tmp_path / str(index), run=run, events=10).adler32 for index, run in enumerate([5, 5, 6])
    )

    assert one == same != other


def test_events_have_the_size_asked_for_and_their_own_numbers(tmp_path: Path) -> None:
    made = make_raw(tmp_path / "a.raw", run=1, events=25, calibration_every=0, event_bytes=4000)

    events = [header for header in iter_headers(made.path) if header.type == 7]
    assert {header.size for header in events} == {4000}
    assert [header.number for header in events] == list(range(1, 26))


def test_truncation_cuts_inside_an_event(tmp_path: Path) -> None:
    made = make_raw(tmp_path / "a.raw", run=1, events=50, truncate=True)

    summary = walk(made.path)
    assert summary.damage is not None
    assert summary.damage.kind == "truncated"
    assert summary.physics == made.events == 29
    assert made.size == made.path.stat().st_size


def test_an_event_that_no_slink_block_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="S-Link"):
        make_raw(tmp_path / "a.raw", run=1, events=1, event_bytes=300_000)
