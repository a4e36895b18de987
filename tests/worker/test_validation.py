"""Raw inputs, outputs and laws: what is counted, and what is found out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import uproot

from pilotext.formats import root_file
from pilotext.formats.date_raw import copy_events, iter_headers
from pilotext.formats.date_raw_writer import make_raw
from pilotext.formats.root_file import RootSummary
from pilotext.model.file_checks import FileChecks, OutputKind
from pilotext.model.job import PLACEHOLDER
from pilotext.profile import load_experiment
from pilotext.storage.transfer import no_tick
from pilotext.worker.validation import Checked, check_inputs, check_outputs
from tests.support.jobs import make_job

CHECKS = load_experiment("COMPASS").file_checks

RAW = "cdr12019-275772.raw"


def of_raw(directory: Path, **fields: object) -> Checked:
    job = make_job(inputs=[{"name": RAW, "sources": ["file:///x"], **fields}])
    return check_inputs(job, CHECKS, directory, no_tick)


def of_output(directory: Path, law: str | None = None, **fields: object) -> Checked:
    job = make_job(outputs=[{"name": "out", "kind": "dump", **fields}], law=law)
    return check_outputs(job, CHECKS, directory, {"events_processed": 30}, no_tick)


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


def write_root_file(path: Path, entries: int, fills: int) -> None:
    with uproot.recreate(path) as file:
        file.mktree("phast", {"event": np.int32}).extend({"event": np.arange(entries, dtype=np.int32)})
        file["CsEvent/spills"] = np.histogram(np.arange(fills, dtype=float))


def merge_of(
    directory: Path,
    *,
    into: tuple[int, int],
    promised: tuple[int | None, ...] = (None, None),
    kind: str = "mdst",
    checks: FileChecks = CHECKS,
    **fields: object,
) -> Checked:
    """Two chunks of 10 and 20 entries, with 5 and 7 fills, and what was made of them."""
    names = ["chunk.1.root", "chunk.2.root"]
    for name, entries, fills in zip(names, (10, 20), (5, 7), strict=True):
        write_root_file(directory / name, entries, fills)
    write_root_file(directory / "merged.root", *into)
    inputs = [{"name": name, "sources": ["file:///x"], "events": n} for name, n in zip(names, promised, strict=True)]
    output = {"name": "merged.root", "kind": kind, "check": "root"}
    job = make_job(type=f"merging {kind}", kind="merging", inputs=inputs, outputs=[output], **fields)
    checked = check_inputs(job, checks, directory)
    after = check_outputs(job, checks, directory, {"events_saved": 30, **checked.counters}, no_tick)
    return Checked([*checked.findings, *after.findings], {**checked.counters, **after.counters})


def test_a_merge_that_holds_all_entries_and_fills_of_its_inputs_is_good(tmp_path: Path) -> None:
    checked = merge_of(tmp_path, into=(30, 12), promised=(10, 20), law="events_saved == sum(inputs.events)")
    assert names(checked) == []
    assert checked.counters["inputs.events"] == checked.counters["mdst_entries"] == 30


def test_a_merged_mdst_that_lost_events_breaks_a_law(tmp_path: Path) -> None:
    checked = merge_of(tmp_path, into=(20, 12))
    assert names(checked) == ["law-broken", "law-uneven"]
    assert "mdst_entries == inputs.events" in checked.findings[0].text


def test_a_merged_mdst_whose_histograms_are_not_added_is_noted(tmp_path: Path) -> None:
    checked = merge_of(tmp_path, into=(30, 7))
    assert names(checked) == ["law-uneven"]
    assert "mdst_histogram_entries == inputs.histogram_entries" in checked.findings[0].text


@pytest.mark.parametrize(
    ("into", "lost"),
    [
        ((20, 12), "hist_tree_entries == inputs.tree_entries"),
        ((30, 7), "hist_histogram_entries == inputs.histogram_entries"),
    ],
)
def test_merged_histograms_that_lost_something_break_a_law(tmp_path: Path, into: tuple[int, int], lost: str) -> None:
    checked = merge_of(tmp_path, into=into, kind="hist")
    assert names(checked) == ["law-broken"]
    assert lost in checked.findings[0].text


def test_a_chunk_unlike_the_catalogue_is_found_before_it_is_merged(tmp_path: Path) -> None:
    checked = merge_of(tmp_path, into=(30, 12), promised=(10, 21))
    assert names(checked) == ["input-damaged"]
    assert "chunk.2.root holds 20 entries, the catalogue promises 21" in checked.findings[0].text


def test_a_cut_chunk_is_found_before_it_is_merged(tmp_path: Path) -> None:
    write_root_file(tmp_path / "chunk.root", 10, 5)
    os.truncate(tmp_path / "chunk.root", 2000)
    job = make_job(type="merging mdst", kind="merging", inputs=[{"name": "chunk.root", "sources": ["file:///x"]}])
    assert names(check_inputs(job, CHECKS, tmp_path)) == ["input-damaged"]


def test_without_a_reader_the_catalogue_stands_for_the_inputs_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_header(paths: Sequence[Path], timeout_s: float, tick: object) -> list[RootSummary]:
        return [RootSummary(path.stat().st_size, "header, size and trailer") for path in paths]

    monkeypatch.setattr(root_file, "check_all_in_child", by_header)
    checked = merge_of(tmp_path, into=(3, 1), promised=(10, 20), law="events_saved == sum(inputs.events)")
    assert names(checked) == ["output-checked-in-part"]
    assert checked.counters == {"inputs.events": 30}


@pytest.mark.parametrize(("events", "counted"), [(12, {"inputs.events": 12}), (None, {})])
def test_the_events_of_a_file_that_nobody_reads_are_those_of_its_record(
    events: int | None, counted: dict[str, int], tmp_path: Path
) -> None:
    (tmp_path / "hits.txt").write_text("1\n")
    given = [{"name": "hits.txt", "sources": ["file:///x"], "events": events}]
    checked = check_inputs(make_job(inputs=given), CHECKS, tmp_path)
    assert (checked.counters, names(checked)) == (counted, [])


@pytest.mark.parametrize(("keep", "found"), [(1.0, []), (0.5, ["law-broken", "law-broken"])])
def test_a_merged_dump_has_all_events_and_bytes_of_its_chunks(tmp_path: Path, keep: float, found: list[str]) -> None:
    chunks = ["evtdump0-1-275772.raw", "evtdump0-2-275772.raw"]
    for name in chunks:
        make_raw(tmp_path / name, run=275772, events=10)
    parts = chunks if keep == 1.0 else chunks[:1]
    (tmp_path / "merged.raw").write_bytes(b"".join((tmp_path / name).read_bytes() for name in parts))
    inputs = [{"name": name, "sources": ["file:///x"]} for name in chunks]
    output = {"name": "merged.raw", "kind": "dump", "check": "raw"}
    job = make_job(type="merging dump", kind="merging", inputs=inputs, outputs=[output])
    before = check_inputs(job, CHECKS, tmp_path)
    assert names(check_outputs(job, CHECKS, tmp_path, before.counters, no_tick)) == found


@pytest.mark.parametrize(("lost", "found"), [(0, []), (1, ["law-broken"])])
def test_a_filter_has_written_every_event_that_it_keeps(tmp_path: Path, lost: int, found: list[str]) -> None:
    make_raw(tmp_path / RAW, run=275772, events=40)
    wanted = [header for header in iter_headers(tmp_path / RAW) if header.random_or_calibration]
    kept = {header.offset for header in wanted[lost:]}
    copy_events(tmp_path / RAW, tmp_path / "out.raw", lambda header: header.offset in kept)
    job = make_job(
        type="DDD filtering",
        kind="decoding",
        inputs=[{"name": RAW, "sources": ["file:///x"]}],
        outputs=[{"name": "out.raw", "kind": "dump", "check": "raw"}],
    )
    before = check_inputs(job, CHECKS, tmp_path)
    assert before.counters["raw_filtered_events"] == len(wanted) > 1
    assert names(check_outputs(job, CHECKS, tmp_path, before.counters, no_tick)) == found


def test_an_input_whose_format_nobody_gives_is_not_read(tmp_path: Path) -> None:
    (tmp_path / RAW).write_text("another experiment's format")
    job = make_job(inputs=[{"name": RAW, "sources": ["file:///x"]}])
    assert check_inputs(job, FileChecks(), tmp_path) == Checked()


def test_a_counter_that_costs_a_pass_of_its_own_is_counted_only_where_a_balance_names_it(tmp_path: Path) -> None:
    make_raw(tmp_path / RAW, run=275772, events=40)
    named = {"inputs": [{"name": RAW, "sources": ["file:///x"]}]}
    for law, counted in (("raw_events == 40", False), ("raw_filtered_events >= 1", True)):
        checked = check_inputs(make_job(law=law, **named), CHECKS, tmp_path)
        assert ("raw_filtered_events" in checked.counters) is counted


def test_a_root_input_with_a_format_is_read_by_any_job(tmp_path: Path) -> None:
    write_root_file(tmp_path / "simulated.root", 10, 5)
    job = make_job(inputs=[{"name": "simulated.root", "sources": ["file:///x"]}])
    checks = FileChecks(formats={"*.root": "root"})
    assert check_inputs(job, checks, tmp_path).counters["inputs.events"] == 10
    os.truncate(tmp_path / "simulated.root", 2000)
    assert names(check_inputs(job, checks, tmp_path)) == ["input-damaged"]
    os.truncate(tmp_path / "simulated.root", 0)
    assert names(check_inputs(job, checks, tmp_path)) == ["input-damaged"]


@pytest.mark.parametrize(
    ("into", "found"), [((30, 12), []), ((20, 12), ["law-broken"]), ((30, 7), ["law-uneven"])], ids=str
)
def test_a_profile_without_balances_asks_of_a_merge_what_its_inputs_hold(
    tmp_path: Path, into: tuple[int, int], found: list[str]
) -> None:
    assert names(merge_of(tmp_path, into=into, kind="ntuple", checks=FileChecks())) == found


def test_a_file_of_histograms_alone_is_counted_though_its_kind_is_not_declared(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "out") as file:
        file["spills"] = np.histogram(np.arange(7, dtype=float))
    job = make_job(outputs=[{"name": "out", "kind": "plots", "check": "root"}])
    assert check_outputs(job, FileChecks(), tmp_path, {}, no_tick).counters == {"plots_entries": 7}
    trees_only = FileChecks(output_kinds={"plots": OutputKind(counts="tree")})
    assert check_outputs(job, trees_only, tmp_path, {}, no_tick).counters == {}


@pytest.mark.parametrize(
    ("job_type", "kind"),
    [("mass production", "reconstruction"), ("DDD filtering", "decoding"), ("merging dump", "merging")],
)
def test_an_empty_raw_file_is_found_without_a_catalogue(tmp_path: Path, job_type: str, kind: str) -> None:
    (tmp_path / RAW).touch()
    job = make_job(type=job_type, kind=kind, inputs=[{"name": RAW, "sources": ["file:///x"]}])
    checked = check_inputs(job, CHECKS, tmp_path)
    assert [(one.name, one.text) for one in checked.findings] == [("raw-truncated", f"{RAW} is empty (0 bytes)")]


def test_an_empty_chunk_is_found_before_it_is_merged_whatever_its_name(tmp_path: Path) -> None:
    for name in ("chunk.root", "mDST-275772.root.001"):
        (tmp_path / name).touch()
        job = make_job(type="merging mdst", kind="merging", inputs=[{"name": name, "sources": ["file:///x"]}])
        assert names(check_inputs(job, CHECKS, tmp_path)) == ["input-damaged"]


def test_an_empty_file_beside_the_raw_files_is_no_finding(tmp_path: Path) -> None:
    make_raw(tmp_path / RAW, run=275772, events=40)
    (tmp_path / "options.txt").touch()
    inputs = [{"name": name, "sources": ["file:///x"]} for name in (RAW, "options.txt")]
    job = make_job(type="DDD filtering", kind="decoding", inputs=inputs)
    assert names(check_inputs(job, CHECKS, tmp_path)) == []


def test_an_mdst_holds_as_many_entries_as_the_program_says(tmp_path: Path) -> None:
    write_root_file(tmp_path / "mDST.root", 29, 1)
    output = {"name": "mDST.root", "kind": "mdst", "check": "root"}
    job = make_job(type="mass production", kind="reconstruction", outputs=[output])
    assert names(check_outputs(job, CHECKS, tmp_path, {"events_written": 30}, no_tick)) == ["law-broken"]
    assert names(check_outputs(job, CHECKS, tmp_path, {"events_written": 29}, no_tick)) == []
