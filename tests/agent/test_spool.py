"""Reports of an agent on disk: nobody else can change them, or read the tokens in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.agent.sealing import Seal
from pilotext.agent.spool import AgentSpool, read_own
from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.attempts import ReportAnswer
from pilotext.model.report import Report
from tests.support.reports import make_report

TOKEN = "token-of-the-attempt"


class Server(Client):
    """Takes reports, or is away."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "agent")
        self.away = False
        self.asked = 0
        self.taken: list[tuple[int, str, Report]] = []

    def report(self, attempt: int, token: str, report: Report) -> ReportAnswer:
        self.asked += 1
        if self.away:
            raise ServerError(0, "away")
        self.taken.append((attempt, token, report))
        return ReportAnswer(True)


@pytest.fixture
def spool(tmp_path: Path) -> AgentSpool:
    return AgentSpool(tmp_path / "spool", Seal("secret of the agent"))


def test_the_next_agent_with_the_same_token_delivers_what_waits(spool: AgentSpool, tmp_path: Path) -> None:
    spool.keep(7, TOKEN, make_report())
    (path,) = (tmp_path / "spool").iterdir()
    assert TOKEN not in path.read_text()
    server = Server()
    server.away = True
    assert spool.deliver(server) == 1
    server.away = False
    assert AgentSpool(tmp_path / "spool", Seal("secret of the agent")).deliver(server) == 0
    assert server.taken == [(7, TOKEN, make_report())]
    assert not list((tmp_path / "spool").iterdir())


@pytest.mark.fault("report", "another payload changes a report of the agent")
@pytest.mark.parametrize("change", ["content", "token", "link", "size"])
def test_what_was_changed_is_put_aside_and_not_sent(spool: AgentSpool, tmp_path: Path, change: str) -> None:
    spool.keep(7, TOKEN, make_report())
    (path,) = (tmp_path / "spool").iterdir()
    if change == "content":
        path.write_bytes(path.read_bytes().replace(b'"failed"', b'"done"'))
    elif change == "token":
        AgentSpool(tmp_path / "spool", Seal("of somebody else")).keep(7, TOKEN, make_report())
    elif change == "link":
        path.unlink()
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"")
    server = Server()
    assert spool.deliver(server) == 0
    assert server.taken == []
    assert [left.suffix for left in (tmp_path / "spool").iterdir()] == [".unreadable"]


@pytest.mark.fault("report", "disk full under the agent")
def test_a_report_that_cannot_be_written_is_sent_from_memory(spool: AgentSpool, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    spool.keep(7, TOKEN, make_report())
    server = Server()
    server.away = True
    assert spool.deliver(server) == 1
    server.away = False
    assert spool.deliver(server) == 0
    assert server.taken == [(7, TOKEN, make_report())]


@pytest.mark.fault("report", "a payload puts folders into the spool of its agent")
def test_nothing_that_lies_in_the_spool_keeps_the_other_reports(spool: AgentSpool, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    for name in ("1.json/x", "1.unreadable/x", "7.unreadable/x", "9.refused/x"):
        (folder / name).mkdir(parents=True)
    spool.keep(7, TOKEN, make_report())
    server = Server()
    assert spool.deliver(server) == 0
    assert [attempt for attempt, _, _ in server.taken] == [7]
    assert not list(folder.glob("*.json"))


def test_a_report_that_another_agent_has_just_sent_is_no_trouble(
    spool: AgentSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.keep(7, TOKEN, make_report())

    def gone(path: Path) -> bytes:
        path.unlink()
        return read_own(path)

    monkeypatch.setattr("pilotext.agent.spool.read_own", gone)
    assert spool.deliver(Server()) == 0
    assert not list((tmp_path / "spool").iterdir())


def test_a_server_that_does_not_answer_is_asked_once_and_not_for_every_report(spool: AgentSpool) -> None:
    for attempt in range(5):
        spool.keep(attempt, TOKEN, make_report())
    server = Server()
    server.away = True
    assert spool.deliver(server) == 5
    assert server.asked == 1
    server.away = False
    assert spool.deliver(server) == 0
    assert len(server.taken) == 5
