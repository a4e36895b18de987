"""Inputs on tape, by servers like CASTOR's and like CTA's: asked for, waited for, copied, and given back once."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilotext.model.report import Report
from pilotext.storage.tape import NOTES
from tests.support.copy_job import SMALL, CopyJob, ended, faults, outcome
from tests.support.xrootd_server import TapeServer, serving_tape

ON_TAPE = "/castor/cern.ch/compass/data/2016/raw/in.bin"
OFFLINE = (65, "COMPASS-3103", "storage", "restage")


@pytest.fixture(params=["CASTOR", "CTA"])
def tape(request: pytest.FixtureRequest) -> Iterator[TapeServer]:
    with serving_tape(open_recalls=request.param == "CASTOR") as server:
        yield server


@pytest.fixture
def job(open_folder: Path, tape: TapeServer) -> CopyJob:
    job = CopyJob(open_folder, SMALL)
    job.sources = [tape.write(ON_TAPE, SMALL) + "?svcClass=compasscdr"]
    job.limits |= {"tape_poll_s": 0.2, "tape_wait_s": 60}
    return job


def until(condition: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Wait for a condition; the failure of the test shows what `told` returns."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"it never happened: {told()}"
        time.sleep(0.02)


def answered(job: CopyJob) -> bool:
    """True once the tape system has given the request its id; it is noted without one before."""
    notes = job.workdir / NOTES
    return notes.exists() and all(each["id"] for each in json.loads(notes.read_bytes()))


def on_disk(tape: TapeServer) -> bool:
    return (tape.store / ON_TAPE[1:]).exists()


def assert_given_back(job: CopyJob, tape: TapeServer, prepared: int) -> None:
    """Every request was followed by one release; what the server does in the background may take a moment."""
    until(
        lambda: tape.requests("evict") + tape.requests("cancel") >= prepared, lambda: (tape.calls, job.report().inputs)
    )
    assert tape.requests("stage") == prepared
    assert tape.requests("evict") + tape.requests("cancel") == prepared
    assert not (job.workdir / NOTES).exists()


def assert_failed_on_tape(job: CopyJob, report: Report) -> None:
    assert outcome(report) == OFFLINE
    assert faults(report) == ["offline"]
    assert job.left_in_workdir() == set()
    assert not job.published.exists()


def test_a_file_on_tape_is_prepared_copied_and_evicted_once(job: CopyJob, tape: TapeServer) -> None:
    report = job.run()
    assert report.exit_status == 0
    assert report.inputs[0].tries == ()
    assert_given_back(job, tape, prepared=1)
    assert tape.requests("evict") == 1
    until(lambda: not on_disk(tape))


def test_a_file_on_disk_is_neither_prepared_nor_evicted(job: CopyJob, tape: TapeServer) -> None:
    place = tape.store / ON_TAPE[1:]
    place.parent.mkdir(parents=True)
    place.write_bytes(SMALL)
    tape.give_to_server()
    assert job.run().exit_status == 0
    assert [tape.requests(verb) for verb in ("stage", "evict", "cancel")] == [0, 0, 0]
    assert on_disk(tape)


@pytest.mark.fault("stage-in", "recall from tape fails")
def test_a_recall_that_fails_says_why(job: CopyJob, tape: TapeServer) -> None:
    tape.behave(RECALL="fails")
    report = job.run()
    assert_failed_on_tape(job, report)
    assert "the tape system says: tape VR0001 is broken" in report.verdict.evidence[0].text
    assert_given_back(job, tape, prepared=1)


@pytest.mark.fault("stage-in", "recall from tape never ends")
def test_a_recall_that_never_ends_is_given_up_and_cancelled(job: CopyJob, tape: TapeServer) -> None:
    tape.behave(MOUNT_MS=300_000)
    job.limits["tape_wait_s"] = 1
    assert_failed_on_tape(job, job.run())
    assert_given_back(job, tape, prepared=1)
    assert tape.requests("cancel") == 1


@pytest.mark.fault("stage-in", "recall from tape takes longer than the job has")
def test_a_recall_that_leaves_no_time_for_the_payload_is_given_up_as_one(job: CopyJob, tape: TapeServer) -> None:
    tape.behave(MOUNT_MS=300_000)
    job.limits |= {"wall_s": 20, "tape_wait_s": 3600, "tape_poll_s": 600}
    assert_failed_on_tape(job, job.run())
    assert_given_back(job, tape, prepared=1)


@pytest.mark.fault("stage-in", "file goes back to tape before it is copied")
def test_a_file_that_goes_back_to_tape_is_asked_for_again(job: CopyJob, tape: TapeServer) -> None:
    tape.behave(RECALL="slips")
    report = job.run()
    assert report.exit_status == 0
    assert (job.published / "out.bin").read_bytes() == SMALL
    assert_given_back(job, tape, prepared=2)


@pytest.mark.fault("stage-in", "file neither on disk nor on tape")
def test_a_file_that_the_tape_system_has_lost_is_missing(job: CopyJob, tape: TapeServer) -> None:
    (tape.tape / ON_TAPE[1:]).unlink()
    report = job.run()
    assert report.verdict.code == "COMPASS-3102"
    assert tape.requests("stage") == 0


@pytest.mark.fault("stage-in", "SIGKILL while a recall is waited for")
def test_a_second_run_gives_back_what_a_killed_one_has_asked_for(job: CopyJob, tape: TapeServer) -> None:
    tape.behave(MOUNT_MS=300_000)
    with ended(job.start()) as process:
        until(lambda: answered(job))
        process.kill()
    until(lambda: not job.survivors())
    assert job.report().phase == "stage-in"
    tape.behave(MOUNT_MS=100)
    report = job.run()
    assert report.exit_status == 0
    assert report.inputs[0].tries == ()
    assert_given_back(job, tape, prepared=2)


@pytest.mark.fault("stage-in", "SIGTERM while a recall is waited for")
def test_a_job_told_to_stop_cancels_its_recall(job: CopyJob, tape: TapeServer) -> None:
    tape.behave(MOUNT_MS=300_000)
    with ended(job.start()) as process:
        until(lambda: answered(job))
        process.send_signal(signal.SIGTERM)
        report = job.end(process)
    assert (report.exit_status, report.verdict.code) == (69, "COMPASS-5011")
    assert_given_back(job, tape, prepared=1)
