"""Reports of an agent on disk: nobody else can change them, or read the tokens in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.agent.sealing import Seal
from pilotext.agent.spool import AgentSpool
from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.attempts import ReportAnswer
from pilotext.api.spool import Spool
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


def test_a_report_that_was_sealed_before_the_key_of_the_site_was_known_is_delivered(tmp_path: Path) -> None:
    seal = Seal("secret of the agent")
    AgentSpool(tmp_path / "spool", seal).keep(7, TOKEN, make_report())
    seal.prefer("key of the site")
    seal.prefer("key of the site")
    AgentSpool(tmp_path / "spool", seal).keep(8, TOKEN, make_report())
    server = Server()
    assert AgentSpool(tmp_path / "spool", seal).deliver(server) == 0
    assert sorted(server.taken) == [(7, TOKEN, make_report()), (8, TOKEN, make_report())]


def test_what_the_key_of_the_site_has_sealed_is_not_opened_by_a_token_alone(tmp_path: Path) -> None:
    seal = Seal("secret of the agent")
    seal.prefer("key of the site")
    AgentSpool(tmp_path / "spool", seal).keep(7, TOKEN, make_report())
    server = Server()
    assert AgentSpool(tmp_path / "spool", Seal("secret of the agent")).deliver(server) == 0
    assert server.taken == []


@pytest.mark.fault("report", "another payload changes a report of the agent")
@pytest.mark.parametrize("change", ["content", "token", "link", "size"])
def test_what_was_changed_is_set_aside_and_not_sent(spool: AgentSpool, tmp_path: Path, change: str) -> None:
    spool.keep(7, TOKEN, make_report())
    (path,) = (tmp_path / "spool").iterdir()
    if change == "content":
        path.write_bytes(path.read_bytes().replace(b'"failed"', b'"done"'))
    elif change == "token":
        (tmp_path / "other").mkdir(mode=0o700)
        AgentSpool(tmp_path / "other", Seal("of somebody else")).keep(7, TOKEN, make_report())
        (other,) = (tmp_path / "other").iterdir()
        path.write_bytes(other.read_bytes())
    elif change == "link":
        path.unlink()
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"")
    server = Server()
    assert spool.deliver(server) == 0
    assert server.taken == []
    assert not list((tmp_path / "spool").glob("*.json"))
    aside = [left.name for left in (tmp_path / "spool" / "aside").glob("*")]
    assert sorted(aside) == ([] if change == "link" else [path.name, f"{path.name}.reason"])


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
    for name in ("1.json/x", "aside/7.json/x", "aside.json/x"):
        (folder / name).mkdir(parents=True)
    spool.keep(7, TOKEN, make_report())
    server = Server()
    assert spool.deliver(server) == 0
    assert [attempt for attempt, _, _ in server.taken] == [7]
    assert not list(folder.glob("*.json"))


def test_a_report_that_another_agent_is_sending_is_left_to_it(spool: AgentSpool, tmp_path: Path) -> None:
    spool.keep(7, TOKEN, make_report())
    (path,) = (tmp_path / "spool").iterdir()
    held = Spool(tmp_path / "spool").take(path)
    assert held is not None
    server = Server()
    assert spool.deliver(server) == 0
    assert server.asked == 0
    held.release()
    assert spool.deliver(server) == 0
    assert server.asked == 1


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


def test_a_second_report_that_comes_while_the_first_is_sent_is_sent_too(spool: AgentSpool) -> None:
    class Slow(Server):
        def report(self, attempt: int, token: str, report: Report) -> ReportAnswer:
            if not self.taken:
                spool.keep(attempt, token, make_report(ended=2.0))
            return super().report(attempt, token, report)

    server = Slow()
    spool.keep(7, TOKEN, make_report())
    spool.deliver(server)
    assert spool.deliver(server) == 0
    assert [report.ended for _, _, report in server.taken] == [None, 2.0]
