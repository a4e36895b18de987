"""An agent whose time on its node is known takes no more jobs at its end; one whose token is refused ends, too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pilotext.agent.agent import AgentProcess, Settings
from pilotext.api.client import ServerError
from pilotext.api.schemas.agents import AgentRegistered, AgentRegistration, JobAnswer
from pilotext.cli.main import main
from tests.agent.former_server import FormerServer


class Server(FormerServer):
    """Has no job, and remembers the time that the agent said it had left."""

    def __init__(self, error: ServerError | None = None) -> None:
        self.error = error
        self.states: list[str] = []
        self.left_s: list[float | None] = []

    def hello(self, said: AgentRegistration) -> AgentRegistered:
        self.states.append(said.state)
        return AgentRegistered(1, 60.0)

    def job(self, _agent: int, _node: str, _key: str, *, again: bool, left_s: float | None) -> JobAnswer:
        self.left_s.append(left_s)
        if self.error is not None:
            raise self.error
        return JobAnswer(ask_again_s=0.01)


def agent(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, until: float | None = None) -> AgentProcess:
    made = AgentProcess(Settings("http://server", "token", "SITE", folder / "agent", name="a1", until=until))
    monkeypatch.setattr(made, "_client", lambda: server)
    return made


def test_an_agent_ends_with_its_time_and_says_how_much_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server, began = Server(), time.time()
    assert agent(server, tmp_path, monkeypatch, until=began + 1).run() == 0
    assert time.time() >= began + 1
    said = [each for each in server.left_s if each is not None]
    assert len(said) == len(server.left_s) > 1
    assert said == sorted(said, reverse=True)
    assert said[0] <= 1
    assert server.states == ["active", "gone"]
    assert "the time on this node is over" in capfd.readouterr().err


@pytest.mark.parametrize("status", [401, 403])
def test_an_agent_whose_token_is_refused_ends_with_the_reason(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server(ServerError(status, "the token was revoked."))
    with pytest.raises(ServerError, match="revoked"):
        agent(server, tmp_path, monkeypatch).run()
    assert len(server.left_s) == 1
    assert "the server refuses the token of this agent: the token was revoked." in capfd.readouterr().err


def test_a_server_that_is_away_for_a_moment_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(ServerError(503, "busy"))
    monkeypatch.setattr("pilotext.agent.agent.MAX_WAIT_S", 0.01)
    assert agent(server, tmp_path, monkeypatch, until=time.time() + 2).run() == 0
    assert len(server.left_s) > 1


def test_the_end_is_a_time_of_day_or_a_number(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["agent", "--site", "SITE", "--server", "http://127.0.0.1:9", "--until"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "tomorrow"])
    assert ended.value.code == 64
    assert "invalid" in capfd.readouterr().err
