"""Storage that fails, at the level of the whole job."""

from __future__ import annotations

import signal

import pytest

from pilotext.formats.date_raw_writer import make_raw
from tests.end_to_end.conftest import CASTOR, EOS, EVENTS, RAW, Grid


@pytest.mark.fault("stage-in", "source missing")
def test_a_missing_raw_file_is_a_stage_in_failure(grid: Grid) -> None:
    """Known problem 4 of the legacy system: a copy that failed was seen as a raw file without events."""
    grid.job["inputs"][0]["sources"] = [grid.castor.url(f"{CASTOR}/cdr99999-275772.raw")]
    ended = grid.run()
    assert ended.status == 65
    assert (ended.report.verdict.code, ended.report.verdict.cause) == ("COMPASS-3102", "input-missing")
    assert "cdr99999-275772.raw" in ended.report.verdict.evidence[0].text
    assert ended.report.payload is None, "the payload was never started"


@pytest.mark.fault("stage-in", "first of two sources missing")
def test_the_second_source_serves_when_the_first_does_not(grid: Grid) -> None:
    grid.job["inputs"][0]["sources"].insert(0, grid.castor.url(f"{CASTOR}/elsewhere/{RAW}"))
    ended = grid.run()
    assert ended.status == 0
    (transfer,) = ended.report.inputs
    assert [one.fault for one in transfer.tries] == ["not-found"]


@pytest.mark.fault("stage-in", "checksum unlike the catalogue")
def test_a_raw_file_unlike_the_catalogue_is_not_used(grid: Grid) -> None:
    grid.job["inputs"][0]["adler32"] = "deadbeef"
    ended = grid.run()
    assert ended.status == 65
    assert (ended.report.verdict.code, ended.report.verdict.cause) == ("COMPASS-3108", "input-corrupt")
    assert not (grid.workdir / RAW).exists()


@pytest.mark.fault("stage-in", "raw file truncated")
def test_a_raw_file_cut_in_an_event_is_seen_before_the_payload_runs(grid: Grid) -> None:
    """Known problem 5 of the legacy system: a truncated raw file ended as a good job with fewer events."""
    made = make_raw(grid.raw, run=275772, events=EVENTS, truncate=True)
    grid.castor.give_to_server()
    grid.job["inputs"][0] |= {"size": made.size, "adler32": made.adler32}
    ended = grid.run()
    assert ended.status == 65
    assert (ended.report.verdict.code, ended.report.verdict.cause) == ("COMPASS-4007", "input-corrupt")
    assert ended.report.verdict.action == "restage"


@pytest.mark.fault("stage-out", "destination refuses, after one file was taken")
def test_a_storage_that_takes_nothing_leaves_nothing(grid: Grid) -> None:
    grid.job["outputs"][1]["destinations"] = [grid.castor.url("/castor/cern.ch/compass/histos/")]
    ended = grid.run()
    assert ended.status == 68
    assert ended.report.verdict.cause == "storage"
    assert set(grid.published()) == {"job.log.tgz"}, "the mDST went first, and was taken back"


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("castor", marks=pytest.mark.fault("stage-in", "server mute")),
        pytest.param("eos", marks=pytest.mark.fault("stage-out", "server mute")),
    ],
)
def test_a_mute_storage_ends_in_bounded_time(grid: Grid, server: str) -> None:
    grid.job["limits"] |= {"transfer_stall_s": 1, "transfer_tries": 2}
    grid.job["log"] = {"destinations": [f"file://{grid.folder}/logs/"]}
    mute = grid.castor if server == "castor" else grid.eos
    mute.kill(signal.SIGSTOP)
    ended = grid.run()
    mute.kill(signal.SIGCONT)
    assert ended.status == (65 if server == "castor" else 68)
    assert ended.report.verdict.cause == "storage"
    assert ended.report.verdict.action == "retry"
    assert grid.published() == {}


@pytest.mark.fault("report", "no destination takes the logs")
def test_logs_that_cannot_be_delivered_do_not_spoil_a_good_job(grid: Grid) -> None:
    grid.job["log"]["destinations"] = [grid.castor.url(f"{EOS}/logs/")]
    ended = grid.run()
    assert ended.status == 0
    assert "log-not-delivered" in {match.rule for match in ended.report.verdict.also}
    assert (grid.workdir / "job.log.tgz").exists()
