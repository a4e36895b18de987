"""An agent whose server was restored from a backup that does not know it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pilotext.api.schemas.agents import AgentList
from tests.support.hostile import SITE, WITHIN_S, hostile_server, submit, wait_for, wait_until_finished
from tests.support.pilotext_server import ProductionServer

pytestmark = pytest.mark.timeout(600)


def agents(server: ProductionServer) -> list[int]:
    return [row.agent for row in server.client("viewer").get("/api/v1/agents", AgentList).agents]


def forget_agents(server: ProductionServer) -> None:
    with sqlite3.connect(server.database.removeprefix("sqlite:///"), timeout=30) as database:
        database.execute("DELETE FROM production_agent")


def test_an_agent_that_its_server_has_forgotten_registers_again_and_takes_jobs(tmp_path: Path) -> None:
    with hostile_server(tmp_path) as server:
        agent = server.agent("--site", SITE, "--jobs", "1")
        wait_for(lambda: agents(server), server)
        forget_agents(server)
        submit(server, "later", "echo done > advout-1-1.txt")
        wait_until_finished(server, "later")
        assert agent.wait(WITHIN_S) == 0
        assert "is registered again" in server.log()
        assert len(agents(server)) == 1
