"""Servers that are dead, mute, killed, frozen or cut off, before and in the middle of a transfer, both ways.

Every job ends by itself: done with whole files, or failed with the right verdict and nothing under a final name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fixtures.servers.relay import Direction, Relay, mute
from pilotext.model.report import Report
from tests.support.copy_job import CONTENT, MIDDLE, CopyJob, aim, ended, named, outcome, put, stored, transfers
from tests.support.xrootd_server import XrdServer, serving

UNREACHABLE = {
    "stage-in": (65, "COMPASS-3110", "storage", "retry"),
    "stage-out": (68, "COMPASS-3210", "storage", "retry"),
}
STALLED = {
    "stage-in": (65, "COMPASS-3111", "storage", "retry"),
    "stage-out": (68, "COMPASS-3211", "storage", "retry"),
}
SILENCE_S = 3
DIRECTION: dict[str, Direction] = {"stage-in": "down", "stage-out": "up"}

REPEATS = 200 if os.environ.get("PILOTEXT_SOAK") else 1
"""Of tests in which threads of the client race: what they see of a broken connection differs from time to time."""


def in_both_phases(fault: str, repeats: int = 1) -> pytest.MarkDecorator:
    cells = [
        pytest.param(phase, marks=pytest.mark.fault(phase, fault), id=f"{phase}-{number}" if repeats > 1 else phase)
        for phase in DIRECTION
        for number in range(repeats)
    ]
    return pytest.mark.parametrize("phase", cells)


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


def run_hurt(job: CopyJob, relay: Relay, phase: str, hurt: Callable[[], object]) -> Report:
    """Run the job, and hurt it when part of the file has gone over the line."""
    aim(job, phase, relay.port)
    relay.hold(DIRECTION[phase], MIDDLE)
    with ended(job.start()) as process:
        relay.wait_until_held(DIRECTION[phase])
        hurt()
        relay.release()
        return job.end(process)


def assert_nothing_came_out(job: CopyJob, server: XrdServer) -> None:
    """No input that looks whole, no output under its name anywhere."""
    assert named(stored(server)) == set()
    assert not job.published.exists()
    if job.report().verdict.code in ("COMPASS-3110", "COMPASS-3111"):
        assert job.left_in_workdir() == set()


# ------------------------------------------------------------------------------------------------- before anything


@in_both_phases("dead port")
def test_a_dead_port_is_given_up_after_its_tries(job: CopyJob, server: XrdServer, phase: str) -> None:
    aim(job, phase, server.port)
    server.stop()
    report = job.run()
    assert outcome(report) == UNREACHABLE[phase]
    assert transfers(report) == ["unreachable", "unreachable"]
    assert_nothing_came_out(job, server)


@in_both_phases("port that takes connections and says nothing")
def test_a_mute_port_is_given_up_after_its_tries(job: CopyJob, server: XrdServer, phase: str) -> None:
    job.limits["transfer_stall_s"] = SILENCE_S
    with mute() as listener:
        aim(job, phase, listener.getsockname()[1])
        report = job.run()
    assert outcome(report) == STALLED[phase]
    assert transfers(report) == ["stalled", "stalled"]
    assert_nothing_came_out(job, server)


# -------------------------------------------------------------------------------------------------- in the middle


@in_both_phases("server killed in mid transfer", REPEATS)
def test_a_server_killed_in_mid_transfer_fails_the_job(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str
) -> None:
    report = run_hurt(job, relay, phase, lambda: server.kill(signal.SIGKILL))
    assert outcome(report) in (UNREACHABLE[phase], STALLED[phase]), report.verdict
    assert len(transfers(report)) == 2
    assert_nothing_came_out(job, server)


@in_both_phases("server frozen in mid transfer", REPEATS)
def test_a_server_frozen_in_mid_transfer_fails_the_job(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str
) -> None:
    job.limits["transfer_stall_s"] = SILENCE_S
    report = run_hurt(job, relay, phase, lambda: server.kill(signal.SIGSTOP))
    server.kill(signal.SIGCONT)
    assert outcome(report) == STALLED[phase]
    assert transfers(report) == ["stalled", "stalled"]
    assert_nothing_came_out(job, server)


@in_both_phases("server killed and restarted in mid transfer", REPEATS)
def test_a_server_restarted_in_mid_transfer_costs_a_try_at_most(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str
) -> None:
    def restart() -> None:
        server.kill(signal.SIGKILL)
        server.start()

    job.limits |= {"transfer_tries": 3, "transfer_wait_s": 0.5}
    report = run_hurt(job, relay, phase, restart)
    assert outcome(report)[0] == 0, report.verdict.diag
    (done,) = report.inputs if phase == "stage-in" else report.outputs
    assert len(done.tries) <= 1, [each.message for each in done.tries]
    where = (
        stored(server) if phase == "stage-out" else {path.name: path.read_bytes() for path in job.published.iterdir()}
    )
    assert where == {"out.bin": CONTENT}


@in_both_phases("connection swallowed in mid transfer", REPEATS)
def test_a_connection_that_is_swallowed_costs_one_try(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str
) -> None:
    """The server keeps the lock of the first try: it cannot know that nobody is there any more."""
    aim(job, phase, relay.port)
    job.limits |= {"transfer_stall_s": SILENCE_S, "transfer_tries": 3, "transfer_wait_s": 0.5}
    relay.hold(DIRECTION[phase], MIDDLE)
    with ended(job.start()) as process:
        relay.wait_until_held(DIRECTION[phase])
        relay.swallow()
        report = job.end(process)
    assert outcome(report)[0] == 0, report.verdict.diag
    (done,) = report.inputs if phase == "stage-in" else report.outputs
    assert [each.fault for each in done.tries] == ["stalled"], [each.message for each in done.tries]
    if phase == "stage-out":
        assert stored(server) == {"out.bin": CONTENT}


@in_both_phases("server frozen for a moment in mid transfer")
def test_a_server_that_thaws_in_time_costs_nothing(job: CopyJob, server: XrdServer, relay: Relay, phase: str) -> None:
    def freeze() -> None:
        server.kill(signal.SIGSTOP)
        relay.release()
        time.sleep(1)
        server.kill(signal.SIGCONT)

    report = run_hurt(job, relay, phase, freeze)
    assert outcome(report)[0] == 0
    assert [each.tries for each in (*report.inputs, *report.outputs)] == [(), ()]


@in_both_phases("line goes silent in mid transfer", REPEATS)
def test_a_line_that_goes_silent_fails_the_job(job: CopyJob, server: XrdServer, relay: Relay, phase: str) -> None:
    aim(job, phase, relay.port)
    job.limits["transfer_stall_s"] = SILENCE_S
    relay.hold(DIRECTION[phase], MIDDLE)
    report = job.run()
    assert outcome(report) == STALLED[phase]
    assert transfers(report) == ["stalled", "stalled"]
    assert_nothing_came_out(job, server)


# ----------------------------------------------------------------------------------------- several places in order


@in_both_phases("first of two servers dead")
def test_the_next_server_serves_when_the_first_is_dead(job: CopyJob, server: XrdServer, phase: str) -> None:
    with serving() as dead:
        closed = dead.port
    aim(job, phase, closed)
    first = job.sources, job.destinations
    aim(job, phase, server.port)
    if phase == "stage-in":
        job.sources = [*first[0], *job.sources]
    else:
        job.destinations = [*first[1], *job.destinations]
    report = job.run()
    assert outcome(report)[0] == 0
    (transfer,) = report.inputs if phase == "stage-in" else report.outputs
    assert [each.fault for each in transfer.tries][:2] == ["unreachable", "unreachable"]
    assert f":{server.port}/" in str(transfer.url)


@in_both_phases("first of two servers killed in mid transfer", REPEATS)
def test_the_next_server_serves_when_the_first_dies_in_mid_transfer(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str
) -> None:
    with serving() as second:
        put(second, CONTENT)
        aim(job, phase, second.port)
        spare = job.sources if phase == "stage-in" else job.destinations
        aim(job, phase, relay.port)
        (job.sources if phase == "stage-in" else job.destinations).extend(spare)
        relay.hold(DIRECTION[phase], MIDDLE)
        with ended(job.start()) as process:
            relay.wait_until_held(DIRECTION[phase])
            server.kill(signal.SIGKILL)
            relay.release()
            report = job.end(process)
        assert outcome(report)[0] == 0
        assert named(stored(server)) == set()
        if phase == "stage-out":
            assert stored(second) == {"out.bin": CONTENT}


# --------------------------------------------------------------------------------------------------------- the logs


@pytest.mark.fault("report", "server known to be silent")
def test_the_logs_do_not_wait_for_a_server_that_was_given_up(job: CopyJob, server: XrdServer) -> None:
    with mute() as listener:
        silent = f"root://127.0.0.1:{listener.getsockname()[1]}"
        aim(job, "stage-out", listener.getsockname()[1])
        job.limits["transfer_stall_s"] = SILENCE_S
        job.fields["log"] = {"destinations": [f"{silent}//eos/compass/logs/"], "name": "log.tgz"}
        report = job.run()
    assert outcome(report) == STALLED["stage-out"]
    (finding,) = [each for each in report.findings if each.name == "log-not-delivered"]
    assert "given up before" in finding.text
    assert (job.workdir / "log.tgz").exists()


def test_the_logs_go_to_another_server_than_the_one_that_was_given_up(job: CopyJob, server: XrdServer) -> None:
    with serving() as dead:
        aim(job, "stage-out", dead.port)
    logs = [*job.destinations, server.url("/eos/compass/logs/")]
    job.fields["log"] = {"destinations": logs, "name": "log.tgz"}
    report = job.run()
    assert outcome(report) == UNREACHABLE["stage-out"]
    assert report.log is not None
    assert report.log.url == server.url("/eos/compass/logs/log.tgz")
    assert report.log.tries == ()
