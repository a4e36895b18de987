"""Wrappers ask their agent just before they publish, and the agent asks the server: nothing unwanted is published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotext.agent.kept_outputs import KeptJob, _Publisher
from pilotext.agent.runner import Runner
from pilotext.api.client import ServerError
from pilotext.api.schemas.attempts import OUTPUTS_KEPT, Heartbeat, HeartbeatAnswer, LeasedJob
from pilotext.model.job import Job
from pilotext.model.report import PhaseRecord, Report
from pilotext.model.verdict import Verdict
from pilotext.storage.stage_out import Upload
from pilotext.worker.kept import Keeping, keep_outputs
from tests.support.jobs import make_job
from tests.support.reports import make_report

pytestmark = pytest.mark.timeout(120)

LEASE_S = 3600.0
SCRIPT = ["/bin/bash", "-c", "echo eight hours > out.txt"]


class Server:
    """Answers heartbeats: `go-on`, and from the n-th one in a phase on, as it is told."""

    def __init__(self, phase: str, number: int, answer: HeartbeatAnswer | ServerError) -> None:
        self.phase = phase
        self.left = number
        self.answer = answer
        self.asked = threading.Event()

    def heartbeat(self, _attempt: int, _token: str, beat: Heartbeat) -> HeartbeatAnswer:
        self.left -= beat.phase == self.phase
        if self.left > 0:
            return HeartbeatAnswer("go-on", time.time() + LEASE_S)
        self.asked.set()
        if isinstance(self.answer, ServerError):
            raise self.answer
        return self.answer


CANCELLED = HeartbeatAnswer("stop", 0.0, "its task was cancelled")
GO_ON = HeartbeatAnswer("go-on", 0.0)
UNKNOWN = ServerError(403, "this token does not belong to that attempt.")
AWAY = ServerError(0, "it does not answer")


def job(folder: Path) -> Job:
    return make_job(command=SCRIPT, outputs=[{"name": "out.txt", "destinations": [f"file://{folder}/out/"]}])


def leased(work: Job) -> LeasedJob:
    """Heartbeats are an hour apart: what is asked between was asked for."""
    return LeasedJob(1, "token", work, time.time() + LEASE_S, LEASE_S, LEASE_S)


def published(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "out").glob("*")}


def run(folder: Path, server: Server) -> tuple[Runner, Report]:
    runner = Runner(leased(job(folder)), folder / "work", time.monotonic())
    return runner, runner.run(server)  # type: ignore[arg-type]  # all of a client that a runner needs


@pytest.mark.fault("stage-out", "task cancelled between two heartbeats")
def test_a_job_that_was_cancelled_since_the_last_heartbeat_publishes_nothing(tmp_path: Path) -> None:
    runner, report = run(tmp_path, Server("stage-out", 1, CANCELLED))
    assert published(tmp_path) == {}
    assert (runner.disowned, report.exit_status, report.outputs) == (True, 69, ())


@pytest.mark.fault("stage-out", "attempt that the server does not know any more")
def test_a_job_that_the_server_does_not_know_publishes_nothing(tmp_path: Path) -> None:
    _, report = run(tmp_path, Server("stage-out", 1, UNKNOWN))
    assert published(tmp_path) == {}
    assert (report.exit_status, report.verdict.code) == (69, "COMPASS-5010")
    assert "this token does not belong to that attempt" in report.verdict.diag


@pytest.mark.parametrize("answer", [GO_ON, AWAY], ids=["wanted", "server away"])
def test_a_job_is_published_if_nobody_says_that_it_is_not_wanted(
    tmp_path: Path, answer: HeartbeatAnswer | ServerError
) -> None:
    server = Server("stage-out", 1, answer)
    _, report = run(tmp_path, server)
    assert server.asked.is_set()
    assert (report.exit_status, published(tmp_path)) == (0, {"out.txt": "eight hours\n"})


@pytest.mark.fault("stage-out", "agent of a former version, which answers no question")
def test_a_job_goes_on_under_an_agent_that_answers_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotext.agent.wrapper_process.WrapperProcess._hear", lambda *_: None)
    _, report = run(tmp_path, Server("stage-out", 1, CANCELLED))
    assert (report.exit_status, published(tmp_path)) == (0, {"out.txt": "eight hours\n"})


# ------------------------------------------------------------------------------------------------------ kept outputs


@pytest.fixture
def kept(tmp_path: Path) -> KeptJob:
    """A job whose good outputs are kept."""
    work = job(tmp_path)
    path = tmp_path / "out.txt"
    path.write_text("eight hours\n")
    upload = Upload("out.txt", path, work.outputs[0].destinations, "out.txt")
    phases = (PhaseRecord("stage-out", 1.0, 1.0, "failed"),)
    success = make_report(state="done", exit_status=0, verdict=Verdict("success"), phases=phases)
    folder = keep_outputs(work, [upload], success, Keeping(tmp_path / "kept"), hurried=False)
    return KeptJob(leased(work), make_report(exit_status=68, kept=folder), folder)


def publish(kept: KeptJob, server: Server, until: Callable[[Server], object] | None = None) -> Report | None:
    """Look after kept outputs until they have an end, or until this is over."""
    ending = threading.Event()
    publisher = _Publisher(kept, ending)
    results: list[Report | None] = []
    thread = threading.Thread(target=lambda: results.append(publisher.work(server)))  # type: ignore[arg-type]
    thread.start()
    if until is not None:
        until(server)
        ending.set()
    thread.join()
    return results[0]


BEFORE_NAMES = 4
"""The heartbeats before the names are given: of the agent, at the start of the process, before and after the upload."""


@pytest.mark.fault("stage-out", "task cancelled while its kept outputs are uploaded")
@pytest.mark.parametrize("answer", [CANCELLED, UNKNOWN], ids=["cancelled", "unknown attempt"])
def test_kept_outputs_of_a_job_that_is_not_wanted_any_more_are_not_published(
    tmp_path: Path, kept: KeptJob, answer: HeartbeatAnswer | ServerError
) -> None:
    server = Server(OUTPUTS_KEPT, BEFORE_NAMES, answer)
    report = publish(kept, server)
    assert server.asked.is_set()
    assert published(tmp_path) == {}
    assert report is not None
    assert (report.exit_status, report.kept) == (68, None)


@pytest.mark.fault("stage-out", "server away when kept outputs are uploaded")
def test_kept_outputs_wait_while_the_server_says_nothing(tmp_path: Path, kept: KeptJob) -> None:
    server = Server(OUTPUTS_KEPT, BEFORE_NAMES, AWAY)
    assert publish(kept, server, until=lambda server: server.asked.wait(60)) is None
    assert published(tmp_path) == {}
    assert (Path(kept.kept.folder) / "out.txt").read_text() == "eight hours\n"


def test_kept_outputs_that_are_wanted_are_published(tmp_path: Path, kept: KeptJob) -> None:
    server = Server(OUTPUTS_KEPT, BEFORE_NAMES, GO_ON)
    report = publish(kept, server)
    assert server.asked.is_set()
    assert published(tmp_path) == {"out.txt": "eight hours\n"}
    assert report is not None
    assert report.verdict.verdict == "success"
