from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

from pilotext.formats.date_raw import iter_headers
from pilotext.formats.date_raw_writer import make_raw
from pilotext.formats.event_formats import EVENT_FORMATS
from pilotext.model.file_checks import FORMAT_COUNTERS, FORMER_CHECKS, FileFormat
from pilotext.model.job import Output


def test_every_format_that_a_profile_can_name_has_a_reader_and_its_counters() -> None:
    assert {*get_args(FileFormat)} == {*FORMAT_COUNTERS} == {*EVENT_FORMATS, "root"}
    for name, counters in FORMAT_COUNTERS.items():
        assert name == "root" or EVENT_FORMATS[name].on_demand.keys() <= {*counters}


def test_former_words_of_a_check_stand_for_formats_that_there_are() -> None:
    assert {*FORMER_CHECKS.values()} <= {*EVENT_FORMATS}
    assert not {*FORMER_CHECKS} & {*EVENT_FORMATS}
    assert {*get_args(get_type_hints(Output)["check"])} == {*FORMER_CHECKS, *EVENT_FORMATS, "root", "none"}


def test_a_counter_on_demand_counts_what_a_filter_must_keep(tmp_path: Path) -> None:
    make_raw(tmp_path / "a.raw", run=1, events=30)
    kept = [header for header in iter_headers(tmp_path / "a.raw") if header.random_or_calibration]
    assert EVENT_FORMATS["date"].on_demand["raw_filtered_events"](tmp_path / "a.raw") == len(kept) > 0
