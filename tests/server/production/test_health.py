"""How the server is stands where people look: part by part, before anything is full, dead or refused for long."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.handlers.wsgi import WSGIHandler as Application
from django.db import connection

from pilotext.api.schemas.agents import AgentRegistration
from pilotext.api.schemas.health import Health
from pilotext.server.database import transact
from pilotext.server.production import health
from pilotext.server.production.access.tokens import issue, revoke
from pilotext.server.production.cycle import status
from pilotext.server.production.cycle.runner import PeriodicStep, run_once
from pilotext.server.production.dispatch.agents import register
from pilotext.server.production.models import Agent, Attempt, CycleStep, Token
from pilotext.server.production.statistics.sites import list_agents
from pilotext.server.production.transitions import Reason
from pilotext.server.times import EPOCH, earlier, now, to_seconds
from pilotext.storage.credentials import Credential, CredentialSettings
from tests.server.calls import request
from tests.server.conftest import use
from tests.server.support import SITE, leased, site, submit

pytestmark = pytest.mark.usefixtures("database")


def broken() -> int:
    raise ExceptionGroup("some of them failed", [ValueError("no tape at root://u:secret@tape//"), KeyError("x")])


def look() -> Health:
    return health.health()


def test_a_server_that_is_well_says_so_of_every_part() -> None:
    run_once((PeriodicStep("ready", lambda: 0),))
    found = look()
    assert (found.status, {*found.parts}) == ("ok", {"database", "disk", "cycle", "agents", "rules"}), found
    answer = request(Application(), "GET", "/health")
    assert (answer.status, answer.json["status"], answer.json["parts"]["database"]["status"]) == (200, "ok", "ok")


@pytest.fixture
def rule_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile in a further folder of rules that the server has loaded."""
    path = tmp_path / "na64" / "experiment.yaml"
    path.parent.mkdir()
    path.write_text("format: 1\nexperiment: NA64\nnumber: 64\njob_types: {}\n")
    monkeypatch.setenv("PILOTEXT_RULES", str(tmp_path))
    assert look().parts["rules"].status == "ok"
    return path


def test_a_changed_profile_is_told_with_the_remedy(rule_file: Path) -> None:
    rule_file.write_text(rule_file.read_text().replace("64", "65"))
    part = look().parts["rules"]
    assert part.status == "warning"
    assert str(rule_file) in part.what
    assert "restart the server" in part.what


def test_a_new_and_a_removed_rule_file_are_told(rule_file: Path) -> None:
    new = rule_file.with_name("reco.yaml")
    new.write_text("format: 1\n")
    assert str(new) in look().parts["rules"].what
    new.unlink()
    assert look().parts["rules"].status == "ok"
    rule_file.unlink()
    assert str(rule_file) in look().parts["rules"].what


def test_a_rule_file_that_was_only_written_again_is_the_same(rule_file: Path) -> None:
    os.utime(rule_file, (1, 1))
    assert look().parts["rules"].status == "ok"


def test_a_folder_of_rules_that_is_gone_is_told(rule_file: Path) -> None:
    shutil.rmtree(rule_file.parents[1])
    part = look().parts["rules"]
    assert (part.status, "does not exist" in part.what) == ("warning", True)


def test_all_views_are_imported_before_the_first_request() -> None:
    """The first `/health` after a start had to wait for them, and reported a busy database."""
    code = "import sys, pilotext.server.wsgi; print('pilotext.server.pages.urls' in sys.modules)"
    environment = {**os.environ, "DATABASE_URL": "sqlite:////nowhere/none.sqlite3"}
    words = [sys.executable, "-P", "-c", code]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("free", "total", "status"),
    [
        (90e9, 100e9, "ok"),
        (4.9e9, 100e9, "warning"),
        (40e9, 1e12, "ok"),
        (0.6e9, 20e9, "warning"),
        (0.1e9, 1e9, "failed"),
    ],
)
def test_a_disk_is_told_before_it_is_full(free: float, total: float, status: str) -> None:
    assert health.disk_part(int(free), int(total)).status == status


@pytest.mark.parametrize(
    ("left_s", "renewed", "status"),
    [
        (None, True, "warning"),
        (None, False, "failed"),
        (0.0, False, "failed"),
        (23 * 3600.0, False, "warning"),
        (25 * 3600.0, False, "ok"),
        (4 * 60.0, True, "warning"),
        (20 * 60.0, True, "ok"),
        (math.inf, False, "ok"),
    ],
)
def test_a_credential_is_told_before_it_ends(left_s: float | None, renewed: bool, status: str) -> None:
    good = Credential("token", "/t", math.inf)
    asked = Credential("proxy", "/p", None if left_s is None else 1000.0 + left_s)
    part = health.credentials_part([good, asked], 1000.0, renewed=renewed)
    assert part.status == status
    assert part.what.startswith("the proxy /p ") or left_s == math.inf
    assert ("the next transfer renews it" in part.what) == (status == "warning" and renewed)


def test_credentials_are_a_part_where_they_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "credentials" not in look().parts
    monkeypatch.setattr(health, "CREDENTIALS", CredentialSettings(("token",)))
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "token"))
    part = look().parts["credentials"]
    assert part.status == "failed"
    assert part.what == (
        f"the token {tmp_path}/token is missing or cannot be read: files cannot be moved until it is renewed"
    )


def test_the_disk_that_is_looked_at_is_that_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = health._folder_of_database()
    assert folder is not None
    if connection.vendor == "sqlite":
        assert Path(str(connection.settings_dict["NAME"])).parent == folder
    monkeypatch.setattr(health, "LOW_BYTES", 10**18)
    monkeypatch.setattr(health, "LOW_SHARE", 1.0)
    assert look().parts["disk"].status == "warning"
    assert look().status == "warning"


def test_a_cycle_that_never_ran_is_told_and_one_that_died_is_a_failure() -> None:
    assert look().parts["cycle"].status == "warning"
    run_once((PeriodicStep("ready", lambda: 0),))
    assert look().parts["cycle"].status == "ok"
    CycleStep.objects.update(at=earlier(now(), status.SILENT_AFTER_S + 1))
    assert look().parts["cycle"].status == "failed"


def test_a_step_that_fails_is_told_with_its_error_until_it_works_again() -> None:
    run_once((PeriodicStep("archive", broken),))
    row = CycleStep.objects.get()
    assert row.error == "ValueError: no tape at root://u:******@tape// (and 1 more)"
    assert row.failing_since is not None
    assert look().parts["cycle"].what == "steps that fail: archive; the log of the server says why"
    run_once((PeriodicStep("archive", lambda: 1),))
    assert (CycleStep.objects.get().error, CycleStep.objects.get().failing_since) == ("", None)


def test_a_sign_is_written_seldom() -> None:
    run_once((PeriodicStep("ready", lambda: 0),))
    CycleStep.objects.update(at=EPOCH)
    run_once((PeriodicStep("ready", lambda: 0),))
    assert CycleStep.objects.get().at == EPOCH


def test_an_agent_that_is_silent_is_told_since_when() -> None:
    Agent.objects.create(name="a1", site=site(), seen=now())
    last = earlier(now(), 1000)
    Agent.objects.create(name="a2", site=site(), seen=last)
    rows = list_agents(site=None, state=None, after=0, limit=9).agents
    assert [row.silent_since for row in rows] == [None, to_seconds(last)]
    assert look().parts["agents"].what == "1 agent is active; 1 is silent"


def test_an_agent_that_works_is_not_silent_whatever_it_asks() -> None:
    submit()
    mine = Agent.objects.create(name="a1", site=site(), seen=earlier(now(), 1000))
    leased()
    Attempt.objects.update(agent=mine)
    assert look().parts["agents"].status == "ok"


def test_an_agent_whose_token_was_revoked_is_told() -> None:
    issue("node7", "agent")
    transact(lambda: register(AgentRegistration("a1", SITE), site(), "node7"))
    (row,) = list_agents(site=None, state=None, after=0, limit=9).agents
    assert (row.token, row.token_ended) == ("node7", None)
    transact(lambda: revoke(Token.objects.filter(label="node7"), Reason("maria", "it was in a mail", "person")))
    (row,) = list_agents(site=None, state=None, after=0, limit=9).agents
    assert row.token_ended is not None
    assert "1 has a token that was revoked or has expired" in look().parts["agents"].what
    issue("node7", "agent")
    assert look().parts["agents"].status == "ok", "another one of that label is good"


def test_a_database_that_is_away_is_a_503_and_says_so(tmp_path: Path) -> None:
    connection.close()
    use("postgresql://nobody@127.0.0.1:1/none" if connection.vendor == "postgresql" else f"sqlite:///{tmp_path}/no/db")
    answer = request(Application(), "GET", "/health")
    assert (answer.status, answer.json["error"]) == (503, "unavailable")
    assert "the database does not answer" in answer.json["message"]
