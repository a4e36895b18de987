"""An upgrade in the middle of a production: server, agent and command of a former version, as they were.

Their code is in `fixtures/former-versions.tar.xz`. The server of this version takes over the database, with jobs that
run; the former agent ends them, and the former command shows them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from fixtures.servers.postgres import serving_postgres
from fixtures.servers.xrootd import XrdServer
from tests.end_to_end.test_production import SITE, storage, write_task
from tests.server.former_rows import BEFORE_CONTROLLERS, code_of
from tests.support.pilotext_server import COMMAND, ProductionServer

__all__ = ["storage"]

ENDS_WITHIN_S = 200.0


@dataclass
class Former:
    """The code of a former version, and the environment of its commands."""

    code: Path
    env: dict[str, str]

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [*COMMAND, *words], env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture(params=[(BEFORE_CONTROLLERS, "postgresql"), (BEFORE_CONTROLLERS, "sqlite")], ids=lambda each: each[1])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProductionServer]:
    """A server of a former version, on a database that this version has never seen."""
    commit, kind = request.param
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'former.sqlite3'}"
        if kind == "postgresql":
            url = stack.enter_context(serving_postgres()).url()
        made = ProductionServer(
            tmp_path, environment={"DATABASE_URL": url}, checkout=code_of(commit, tmp_path / "former")
        )
        stack.callback(made.stop)
        yield made


def commands_of(server: ProductionServer) -> Former:
    """The former command, for a manager."""
    assert server.checkout is not None
    former = Former(server.checkout, {**server.env, "PYTHONPATH": str(server.checkout), "PILOTEXT_SERVER": server.url})
    for role in ("manager", "agent", "viewer"):
        server.tokens[role] = former.run("server", "token", "--role", role, "--label", f"test-{role}").strip()
    former.env["PILOTEXT_TOKEN"] = server.tokens["manager"]
    return former


def the_task(server: ProductionServer) -> Any:
    """The only task, as either version tells of it."""
    token = {"Authorization": f"Bearer {server.tokens['viewer']}"}
    (row,) = requests.get(f"{server.url}/api/v1/tasks", headers=token, timeout=60).json()["tasks"]
    return row


def until(what: str, server: ProductionServer, holds: Any) -> None:
    end = time.monotonic() + ENDS_WITHIN_S
    while not holds():
        assert time.monotonic() < end, f"{what}: {server.log()}"
        time.sleep(0.3)


def upgrade(server: ProductionServer) -> None:
    """Stop the former server, and start the one of this version on its database."""
    (former,) = [process for process in server.processes if "server" in process.args]  # type: ignore[operator]
    former.send_signal(signal.SIGTERM)
    assert former.wait(60) == 0, server.log()
    server.checkout = None
    server.start()
    server.wait_until_ready()


@pytest.mark.long(60)
@pytest.mark.timeout(500)
def test_an_upgrade_while_jobs_run(server: ProductionServer, storage: XrdServer) -> None:
    task = write_task(server.folder, storage)
    coral = server.folder / "sw/gen/soft/coral.exe"
    goes_on = server.folder / "goes-on"
    coral.write_text(coral.read_text().replace("exec ", f"while [ ! -e {goes_on} ]; do sleep 0.2; done\nexec "))
    server.start()
    server.wait_until_ready()
    former = commands_of(server)
    assert former.json("submit", str(task))["jobs"] == 3
    words = ["agent", "--site", SITE, "--slots", "2", "--name", "former", "--workdir", str(server.folder / "agent")]
    with (server.folder / "agent.log").open("ab") as log:
        env = {**former.env, "PILOTEXT_TOKEN": server.tokens["agent"]}
        agent = subprocess.Popen([*COMMAND, *words], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    server.processes.append(agent)
    until("two jobs run", server, lambda: the_task(server)["jobs"].get("running") == 2)
    told = former.json("tasks", "history", "dvcs2016P09t1")

    upgrade(server)
    same = [{**event, "at": pytest.approx(event["at"], abs=2e-6)} for event in told["events"]]  # microseconds in dates
    assert former.json("tasks", "history", "dvcs2016P09t1")["events"][-len(same) :] == same
    assert the_task(server)["jobs"] == {"running": 2, "ready": 1}
    goes_on.touch()
    until("the task is done", server, lambda: the_task(server)["state"] == "done")
    assert the_task(server)["jobs"] == {"finished": 3}
    ids = [str(row["job"]) for row in former.json("jobs")["jobs"]]
    pages = former.json("jobs", "show", *ids)
    by_chunk = {page["job"]["chunk"]: [attempt["state"] for attempt in page["attempts"]] for page in pages}
    assert by_chunk == {11: ["finished"], 12: ["failed", "finished"], 13: ["finished"]}
    for words in (["tasks"], ["runs", "dvcs2016P09t1"], ["agents"], ["tokens"]):
        mine = subprocess.run(
            [*COMMAND, *words, "--json"],
            env={**former.env, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            stdout=subprocess.PIPE,
            check=True,
        )
        assert former.json(*words).keys() <= json.loads(mine.stdout).keys(), words
    former.run("jobs", "note", ids[0], "--why", "seen by the former command")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0, server.log()
