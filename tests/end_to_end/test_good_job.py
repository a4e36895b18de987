"""A good production job from raw file to published mDST, and the good jobs that look bad."""

from __future__ import annotations

import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest

from tests.end_to_end.conftest import DUMP, EVENTS, HISTOGRAMS, MDST, RAW, Grid
from tests.support.processes import processes_below
from tests.support.servers import server_adler32

PHASES = ["prepare", "stage-in", "payload", "classify", "validate", "stage-out", "report"]


def adler32(path: Path) -> str:
    return f"{zlib.adler32(path.read_bytes()):08x}"


def test_a_good_job_publishes_whole_outputs_and_says_so(grid: Grid) -> None:
    ended = grid.run()
    report = ended.report
    assert ended.status == 0
    assert (report.state, report.exit_status, report.verdict.verdict) == ("done", 0, "success")
    assert [(phase.name, phase.outcome) for phase in report.phases] == [(name, "done") for name in PHASES]
    counters = report.verdict.counters
    assert counters["raw_events"] == counters["events_processed"] == counters["events_written"] == EVENTS
    assert counters["mdst_entries"] == EVENTS
    assert "verdict: success" in ended.stdout


def test_what_is_published_is_what_was_written(grid: Grid) -> None:
    report = grid.run().report
    assert set(grid.published()) == {MDST, HISTOGRAMS, DUMP, "job.log.tgz"}
    for transfer in (*report.outputs, report.log):
        assert transfer is not None
        assert transfer.url is not None
        local = grid.workdir / transfer.name
        assert transfer.size == local.stat().st_size
        assert transfer.adler32 == adler32(local) == server_adler32(transfer.url)


def test_the_input_is_compared_with_the_catalogue(grid: Grid) -> None:
    (transfer,) = grid.run().report.inputs
    assert (transfer.name, transfer.size, transfer.adler32) == (RAW, grid.raw.stat().st_size, adler32(grid.raw))


def test_the_log_archive_holds_both_streams_and_the_report(grid: Grid) -> None:
    grid.run()
    with tarfile.open(grid.published()["job.log.tgz"]) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert names == {"payload_stdout.txt", "payload_stderr.txt", "job.report.json", "INDEX.json"}


def test_the_same_job_run_twice_gives_the_same_result(grid: Grid) -> None:
    first = grid.run()
    sums = {name: adler32(path) for name, path in grid.published().items() if name in (MDST, DUMP)}
    second = grid.run()
    assert (first.status, second.status) == (0, 0)
    assert {name: adler32(grid.published()[name]) for name in sums}.keys() == sums.keys()
    assert sums[DUMP] == adler32(grid.published()[DUMP])
    assert len(grid.published()) == 4


@pytest.mark.parametrize("mode", ["dump-missing", "dump-empty"])
def test_an_event_dump_without_events_gets_the_placeholder(grid: Grid, mode: str) -> None:
    grid.job["environment"]["PILOTEXT_STANDIN"] = mode
    ended = grid.run()
    assert ended.status == 0
    assert grid.published()[DUMP].read_bytes() == b"PanDA message: the file is empty\n"
    notes = {match.rule: match for match in ended.report.verdict.also}
    assert notes["output-replaced"].evidence[0].text.startswith("testevtdump.raw is")


@pytest.mark.parametrize("mode", ["slow", "flood", "latin1", "long-line"])
def test_an_ugly_log_does_not_spoil_a_good_job(grid: Grid, mode: str) -> None:
    grid.job["environment"]["PILOTEXT_STANDIN"] = mode
    ended = grid.run()
    assert ended.status == 0, ended.stdout
    assert ended.report.verdict.counters["mdst_entries"] == EVENTS


def test_a_daemon_that_a_good_payload_leaves_behind_is_ended(grid: Grid) -> None:
    grid.job["environment"]["PILOTEXT_STANDIN"] = "double-fork"
    assert grid.run().status == 0
    assert processes_below(grid.workdir) == []


def test_true_on_local_files(open_folder: Path) -> None:
    grid_less = open_folder / "work"
    command = ["bin/pilotext", "run", "fixtures/jobs/true.json", "--workdir", str(grid_less)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "verdict: success" in ended.stdout
