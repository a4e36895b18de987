"""Raw inputs, outputs and laws: what is counted, and what is found out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotext.formats.rawmake import make_raw
from pilotext.model import PLACEHOLDER
from pilotext.storage.transfer import no_tick
from pilotext.worker.outputs import Checked, check_inputs, check_outputs
from tests.support.jobs import make_job

RAW = "cdr12019-275772.raw"


def of_raw(directory: Path, **fields: object) -> Checked:
    return check_inputs(make_job(inputs=[{"name": RAW, "sources": ["file:///x"], **fields}]), directory, no_tick)


def of_output(directory: Path, law: str | None = None, **fields: object) -> Checked:
    job = make_job(outputs=[{"name": "out", "kind": "dump", **fields}], law=law)
    return check_outputs(job, directory, {"events_processed": 30}, no_tick)


def names(checked: Checked) -> list[str]:
    return [finding.name for finding in checked.findings]


def test_the_events_of_a_whole_raw_file_are_counted(tmp_path: Path) -> None:
    made = make_raw(tmp_path / RAW, run=275772, events=40)
    checked = of_raw(tmp_path, events=40)
    assert names(checked) == []
    assert checked.counters == {"raw_events": 40, "raw_calibration_events": made.calibration}


@pytest.mark.parametrize(("promised", "name"), [(41, "raw-truncated"), (39, "raw-damaged")])
def test_a_count_unlike_the_catalogues_is_found(tmp_path: Path, promised: int, name: str) -> None:
    make_raw(tmp_path / RAW, run=275772, events=40)
    checked = of_raw(tmp_path, events=promised)
    assert names(checked) == [name]
    assert f"holds 40 physics events; the catalogue promises {promised}" in checked.findings[0].text


def test_a_cut_raw_file_is_found_with_the_byte_of_the_cut(tmp_path: Path) -> None:
    make_raw(tmp_path / RAW, run=275772, events=40, truncate=True)
    (finding,) = of_raw(tmp_path).findings
    assert finding.name == "raw-truncated"
    assert "at byte " in finding.text


def test_a_file_that_is_no_raw_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / RAW).write_text("<html>404</html>" * 100)
    assert names(of_raw(tmp_path)) == ["raw-damaged"]


@pytest.mark.parametrize(("content", "name"), [(None, "output-missing"), (b"", "output-empty")])
def test_an_output_must_be_there_and_hold_something(tmp_path: Path, content: bytes | None, name: str) -> None:
    if content is not None:
        (tmp_path / "out").write_bytes(content)
    assert names(of_output(tmp_path)) == [name]


@pytest.mark.parametrize("content", [None, b""])
def test_the_placeholder_takes_the_place_of_an_empty_dump(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "out").write_bytes(content)
    assert names(of_output(tmp_path, when_empty="placeholder", check="raw")) == ["output-replaced"]
    assert (tmp_path / "out").read_bytes() == PLACEHOLDER


def test_a_placeholder_that_the_payload_wrote_itself_passes_the_check(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(PLACEHOLDER)
    assert names(of_output(tmp_path, check="raw")) == []


def test_a_raw_output_is_walked_and_counted(tmp_path: Path) -> None:
    make_raw(tmp_path / "out", run=1, events=10, calibration_every=0)
    checked = of_output(tmp_path, check="raw")
    assert names(checked) == []
    assert checked.counters["dump_events"] >= 10


def test_a_cut_raw_output_is_damaged(tmp_path: Path) -> None:
    make_raw(tmp_path / "out", run=1, events=10, truncate=True)
    assert names(of_output(tmp_path, check="raw")) == ["output-damaged"]


def test_a_root_output_that_is_none_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"root" + bytes(500))
    assert names(of_output(tmp_path, check="root")) == ["output-damaged"]


def test_a_directory_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert names(of_output(tmp_path, when_empty="placeholder")) == ["output-damaged"]


def test_a_pipe_that_the_payload_left_is_no_output_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out")
    assert names(of_output(tmp_path, when_empty="placeholder")) == ["output-damaged"]


def test_the_placeholder_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    assert names(of_output(tmp_path, when_empty="placeholder")) == ["output-replaced"]
    assert not (tmp_path / "elsewhere").exists()


def test_a_dump_without_events_counts_as_none_in_a_law(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    checked = of_output(tmp_path, when_empty="placeholder", check="raw", law="dump_events == 0")
    assert names(checked) == ["output-replaced"]


@pytest.mark.parametrize(
    ("law", "found"),
    [("events_processed == 30", []), ("events_processed == 31", ["law-broken"]), ("nobody == 1", ["law-broken"])],
)
def test_the_law_is_held_with_everything_that_was_counted(tmp_path: Path, law: str, found: list[str]) -> None:
    (tmp_path / "out").write_text("something")
    assert names(of_output(tmp_path, law=law)) == found
