"""Attempts that are ended in the middle of a transfer, and what the next run makes of their remains."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fixtures.servers.relay import Direction, Relay
from tests.support.copy_job import CONTENT, FOLDER, MIDDLE, CopyJob, aim, ended, named, put, stored
from tests.support.processes import command_of
from tests.support.xrootd_server import XrdServer, serving

DIRECTION: dict[str, Direction] = {"stage-in": "down", "stage-out": "up"}


@pytest.fixture
def job(open_folder: Path) -> CopyJob:
    return CopyJob(open_folder, CONTENT)


@pytest.fixture
def server() -> Iterator[XrdServer]:
    with serving() as running:
        put(running, CONTENT)
        yield running


@pytest.fixture
def relay(server: XrdServer) -> Iterator[Relay]:
    with Relay(server.port) as running:
        yield running


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def killed_in_stage_out(job: CopyJob, server: XrdServer, relay: Relay) -> None:
    """The state that a SIGKILL in the middle of the upload leaves."""
    aim(job, "stage-out", relay.port)
    relay.hold("up", MIDDLE)
    with ended(job.start()) as process:
        relay.wait_until_held("up")
        process.kill()
    relay.release()
    until(lambda: not job.survivors())
    assert job.report().phase == "stage-out"
    assert named(stored(server)) == set()
    assert [name.rpartition(".")[2] for name in stored(server)] == ["part"]


@pytest.mark.fault("stage-out", "SIGKILL in mid transfer, then the same attempt again")
def test_the_same_attempt_again_replaces_what_a_killed_one_left(job: CopyJob, server: XrdServer, relay: Relay) -> None:
    killed_in_stage_out(job, server, relay)
    assert job.run().exit_status == 0
    assert stored(server) == {"out.bin": CONTENT}


@pytest.mark.fault("stage-out", "SIGKILL in mid transfer, then the next attempt elsewhere")
def test_the_next_attempt_on_another_node_removes_what_a_killed_one_left(
    job: CopyJob, server: XrdServer, relay: Relay
) -> None:
    killed_in_stage_out(job, server, relay)
    job.workdir = job.reported_in = job.folder / "another"
    job.fields["attempt"] = 2
    assert job.run().exit_status == 0
    assert stored(server) == {"out.bin": CONTENT}


@pytest.mark.fault("stage-in", "SIGKILL in mid transfer, then the same attempt again")
def test_a_second_run_after_a_kill_in_stage_in_succeeds(job: CopyJob, server: XrdServer, relay: Relay) -> None:
    aim(job, "stage-in", relay.port)
    relay.hold("down", MIDDLE)
    with ended(job.start()) as process:
        relay.wait_until_held("down")
        process.kill()
    relay.release()
    until(lambda: not job.survivors())
    assert job.report().phase == "stage-in"
    assert not (job.workdir / "in.bin").exists()
    report = job.run()
    assert report.exit_status == 0
    assert (job.published / "out.bin").read_bytes() == CONTENT
    assert not [path for path in job.workdir.iterdir() if path.name.startswith(".stage-in-")]


@pytest.mark.parametrize(
    "phase", [pytest.param(phase, marks=pytest.mark.fault(phase, "SIGTERM in mid transfer")) for phase in DIRECTION]
)
def test_a_job_told_to_stop_in_mid_transfer_leaves_nothing(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str
) -> None:
    aim(job, phase, relay.port)
    relay.hold(DIRECTION[phase], MIDDLE)
    with ended(job.start()) as process:
        relay.wait_until_held(DIRECTION[phase])
        process.send_signal(signal.SIGTERM)
        report = job.end(process)
    assert (report.exit_status, report.verdict.code, report.phase) == (69, "COMPASS-5011", phase)
    assert named(stored(server)) == set()
    assert not job.published.exists()
    if phase == "stage-in":
        assert job.left_in_workdir() == set()


@pytest.mark.parametrize(
    "phase", [pytest.param(phase, marks=pytest.mark.fault(phase, "transfer process killed")) for phase in DIRECTION]
)
def test_a_transfer_process_that_is_killed_costs_one_try(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str
) -> None:
    aim(job, phase, relay.port)
    relay.hold(DIRECTION[phase], MIDDLE)
    with ended(job.start()) as process:
        relay.wait_until_held(DIRECTION[phase])
        (child,) = [
            each
            for each in psutil.Process(process.pid).children(recursive=True)
            if "pilotext.storage.transfer_process" in command_of(each)
        ]
        child.kill()
        relay.release()
        report = job.end(process)
    assert report.exit_status == 0
    (done,) = report.inputs if phase == "stage-in" else report.outputs
    assert [each.fault for each in done.tries] == ["unreachable"]
    assert "ended by SIGKILL" in done.tries[0].message


def test_the_same_job_twice_gives_the_same_files(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-out", server.port)
    first, second = job.run(), job.run()
    assert (first.exit_status, second.exit_status) == (0, 0)
    assert stored(server) == {"out.bin": CONTENT}
    assert [each.adler32 for each in first.outputs] == [each.adler32 for each in second.outputs]


def test_a_later_attempt_replaces_what_an_earlier_one_has_published(job: CopyJob, server: XrdServer) -> None:
    place = server.store / FOLDER[1:] / "out.bin"
    place.write_bytes(b"other events")
    server.give_to_server()
    job.fields["attempt"] = 2
    aim(job, "stage-out", server.port)
    assert job.run().exit_status == 0
    assert stored(server) == {"out.bin": CONTENT}


@pytest.mark.fault("stage-out", "line goes silent over an earlier result")
def test_an_earlier_result_survives_a_later_attempt_that_fails(job: CopyJob, server: XrdServer, relay: Relay) -> None:
    (server.store / FOLDER[1:] / "out.bin").write_bytes(b"other events")
    server.give_to_server()
    job.fields["attempt"] = 2
    aim(job, "stage-out", relay.port)
    relay.hold("up", MIDDLE)
    job.limits |= {"transfer_tries": 1, "transfer_stall_s": 3}
    assert job.run().exit_status == 68
    assert stored(server)["out.bin"] == b"other events"
