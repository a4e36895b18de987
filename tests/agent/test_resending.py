"""Reports that the server did not take at once are sent again while the agent has other things to do."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pilotext.agent.agent import AgentProcess, Settings
from pilotext.agent.runner import Runner
from pilotext.api.client import ServerError
from pilotext.api.schemas.agents import AgentRegistered, AgentRegistration, JobAnswer
from pilotext.api.schemas.attempts import LeasedJob, ReportAnswer
from pilotext.model.report import Report
from tests.agent.former_server import FormerServer
from tests.support.jobs import make_job
from tests.support.reports import make_report

WITHIN_S = 60.0
BUSY = 503


class Server(FormerServer):
    """Gives two jobs; refuses the first `busy` reports, and sets `told` when it has said something final to one."""

    def __init__(self, busy: int) -> None:
        self.busy = busy
        self.busy_status = BUSY
        self.jobs = iter([1, 2])
        self.reported: list[int] = []
        self.told = threading.Event()

    def hello(self, _said: AgentRegistration) -> AgentRegistered:
        return AgentRegistered(1, 60.0)

    def job(self, _agent: int, _node: str, _key: str, *, again: bool, left_s: float | None) -> JobAnswer:
        assert not again
        assert left_s is None
        attempt = next(self.jobs)
        return JobAnswer(LeasedJob(attempt, f"token {attempt}", make_job(), time.time() + 600.0, 600.0, 60.0))

    def report(self, attempt: int, token: str, _report: Report) -> ReportAnswer:
        assert token == f"token {attempt}"
        if self.busy:
            self.busy -= 1
            if self.busy_status != BUSY:
                self.told.set()
            raise ServerError(self.busy_status, "not now")
        self.reported.append(attempt)
        self.told.set()
        return ReportAnswer(accepted=True)


def agent(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AgentProcess:
    """An agent of one slot; its first job ends at once, its second one when the server has taken a report."""
    made = AgentProcess(Settings("http://server", "token", "SITE", folder / "agent", name="a1", max_jobs=2))

    def run(runner: Runner, _client: object) -> Report:
        if runner.lease.attempt == 2:
            server.told.wait(WITHIN_S)
        return make_report()

    monkeypatch.setattr(made, "_client", lambda: server)
    monkeypatch.setattr(made, "_run", run)
    return made


@pytest.mark.fault("report", "server too busy for a report, and the slot is given a long job next")
def test_a_report_is_sent_again_while_the_next_job_of_the_slot_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotext.agent.agent.RESEND_S", 0.05)
    server = Server(busy=3)
    assert agent(server, tmp_path, monkeypatch).run() == 2
    assert server.told.is_set()
    assert server.reported == [1, 2]
    assert not list((tmp_path / "agent/spool").glob("*.json"))


def test_a_report_that_the_server_refuses_for_good_is_sent_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotext.agent.agent.RESEND_S", 0.05)
    server = Server(busy=1)
    server.busy_status = 409
    assert agent(server, tmp_path, monkeypatch).run() == 2
    assert server.reported == [2]
    (aside,) = (tmp_path / "agent/spool/aside").glob("*.json")
    assert aside.stat().st_size > 0
