"""An agent whose node lacks the profile or has no good rules of its site's experiment takes no job, and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pilotext.agent.agent import AgentProcess, Settings
from pilotext.api.schemas.agents import AgentRegistered, AgentRegistration, JobAnswer
from pilotext.errors import UsageError
from pilotext.rules.loader import RulesCheck
from tests.agent.former_server import FormerServer

NA64 = "format: 1\nexperiment: NA64\nnumber: 64\njob_types: {}\n"


class Server(FormerServer):
    """Registers an agent for the jobs of NA64, has no job, and remembers what it was asked."""

    def __init__(self, experiment: str = "NA64") -> None:
        self.experiment = experiment
        self.states: list[str] = []
        self.asked = 0
        self.at_question: Callable[[], object] = lambda: None

    def hello(self, said: AgentRegistration) -> AgentRegistered:
        self.states.append(said.state)
        return AgentRegistered(1, 60.0, self.experiment)

    def job(self, _agent: int, _node: str, _key: str, *, again: bool, left_s: float | None) -> JobAnswer:
        assert not again
        assert left_s is None
        self.asked += 1
        self.at_question()
        return JobAnswer(ask_again_s=0.01)


def agent(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, idle_s: float | None = None) -> AgentProcess:
    settings = Settings("http://server", "token", "CERN_NA64", folder / "agent", name="a1", check_rules=RulesCheck())
    made = AgentProcess(replace(settings, idle_s=idle_s))
    monkeypatch.setattr(made, "_client", lambda: server)
    return made


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "rules/na64/experiment.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(NA64)
    monkeypatch.setenv("PILOTEXT_RULES", str(tmp_path / "rules"))
    return path


def test_without_the_profile_no_job_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    with pytest.raises(UsageError, match="PILOTEXT_RULES") as caught:
        agent(server, tmp_path, monkeypatch).run()
    assert "the jobs of site CERN_NA64 cannot be run on this node: there is no experiment 'NA64'" in str(caught.value)
    assert (server.asked, server.states) == (0, ["active", "gone"])


def test_an_agent_says_where_it_is_connected(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    assert agent(server, tmp_path, monkeypatch, idle_s=0.05).run() == 0
    assert server.asked > 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line == "pilotext: agent a1 is connected to http://server: site CERN_NA64 of NA64, 1 slot"


def test_an_agent_whose_profile_vanishes_takes_no_more_jobs(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    server.at_question = lambda: profile.unlink(missing_ok=True)
    assert agent(server, tmp_path, monkeypatch).run() == 0
    assert (server.asked, server.states) == (1, ["active", "gone"])
    assert "no more jobs are taken: the jobs of site CERN_NA64 cannot be run" in capfd.readouterr().err


BROKEN = """
format: 1
rules:
  - {id: seen, code: 9001, on: stdout, match: 'seen \\d+ of', counter: seen}
"""


@pytest.mark.fault("setup", "broken rule files on a node")
def test_with_a_broken_rule_file_no_job_is_asked_for(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrapper would fail by them, and each job would use up its attempts here."""
    profile.with_name("own.yaml").write_text(BROKEN)
    server = Server()
    with pytest.raises(UsageError, match=r"na64/own\.yaml:2") as caught:
        agent(server, tmp_path, monkeypatch).run()
    assert "the jobs of site CERN_NA64 cannot be run on this node" in str(caught.value)
    assert (server.asked, server.states) == (0, ["active", "gone"])


def test_an_agent_whose_rule_files_are_broken_while_it_works_takes_no_more_jobs(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    server.at_question = lambda: profile.with_name("own.yaml").write_text(BROKEN)
    assert agent(server, tmp_path, monkeypatch).run() == 0
    assert (server.asked, server.states) == (1, ["active", "gone"])
    assert "own.yaml" in capfd.readouterr().err


def test_rule_files_that_are_changed_and_right_are_no_obstacle(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    server.at_question = lambda: profile.write_text(f"{NA64}# question {server.asked}\n")
    assert agent(server, tmp_path, monkeypatch, idle_s=0.5).run() == 0
    assert server.asked > 1


def test_a_server_that_does_not_name_the_experiment_is_asked_for_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(experiment="")
    agent(server, tmp_path, monkeypatch, idle_s=0.05).run()
    assert server.asked > 0
