"""Parts of a running production are killed at random moments; what comes out is what would have come out anyway."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from fixtures.servers.postgres import PostgresServer, serving_postgres
from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.tasks import Submitted, TaskDocument, TaskPage, TaskRow
from tests.server.conftest import use
from tests.server.support import SITE, raw, task_document
from tests.support.pilotext_server import READY_WITHIN_S, ProductionServer
from tests.support.processes import children_of, command_of

from django.db import connection  # isort: skip  needs the boot of tests.server.conftest

from pilotext.server.times import EPOCH, earlier, now

from pilotext.server.production.models import Attempt, AvoidedPlace, AuditEntry, AttemptReport, Job, Output  # isort: skip

KILLS = 20 if os.environ.get("PILOTEXT_SOAK") else 3
JOBS = 40 * KILLS
AGENTS = 3
SILENT_S = 20.0
"""Much longer than between two heartbeats of a quick agent."""

ENDS_WITHIN_S = 120.0 + 5.0 * KILLS


@dataclass
class Production:
    """A server and its agents, and what can be killed of them."""

    server: ProductionServer
    folder: Path
    postgres: PostgresServer | None
    whole: subprocess.Popen[bytes]
    agents: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)

    def start_agent(self, name: str) -> None:
        words = [self.server.url, self.token, SITE, name, str(self.folder)]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.agents[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.support.quick_agent", *words],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                stderr=log,
            )

    def __post_init__(self) -> None:
        self.token = self.server.token("agent")

    def kill_agent(self) -> None:
        name = random.choice(sorted(self.agents))
        self.agents[name].kill()
        self.agents[name].wait()
        forget_leases_of(name)
        self.start_agent(name)

    def kill_web(self) -> None:
        self._kill_part("web")

    def kill_cycle(self) -> None:
        self._kill_part("cycle")

    def kill_web_worker(self) -> None:
        """The process behind the one that was started: it has the connections to the database."""
        for process in self._parts("web"):
            for worker in children_of(process):
                worker.kill()

    def kill_server(self) -> None:
        self.whole.kill()
        self.whole.wait()
        self.whole = self.server.start()

    def cut_connections(self) -> None:
        """PostgreSQL ends all of its connections; a file cannot do that, and is locked by somebody else for a while."""
        if self.postgres is not None:
            with connection.cursor() as cursor:
                others = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({others}) AS others")
            return
        other = sqlite3.connect(self.server.env["DATABASE_URL"].removeprefix("sqlite:///"), timeout=30)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(1.0)
        other.rollback()
        other.close()

    def kill_database(self) -> None:
        if self.postgres is None:
            return self.cut_connections()
        self.postgres.kill()
        self.postgres.start()
        connection.close()
        return None

    def jobs_at_work(self) -> set[int]:
        """The jobs that living agents run: each has the file of its job open."""
        files = (file for agent in self.agents.values() for file in psutil.Process(agent.pid).open_files())
        return {int(path.name) for path in (Path(file.path) for file in files) if path.parent.name == "running"}

    def reports_wait(self) -> bool:
        return any(path.is_file() for path in self.folder.glob("agent-*/spool/**/*"))

    def said_by_agents(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("agent-*.log"))

    def _kill_part(self, part: str) -> None:
        for process in self._parts(part):
            process.kill()

    def _parts(self, part: str) -> list[psutil.Process]:
        return [process for process in psutil.Process(self.whole.pid).children() if part in command_of(process)]


@contextmanager
def producing(folder: Path, postgres: PostgresServer | None) -> Iterator[Production]:
    environment = {"DATABASE_URL": postgres.url()} if postgres else {}
    environment["PILOTEXT_VERIFY_OUTPUTS"] = "no"  # the quick agents publish nothing
    server = ProductionServer(folder, environment=environment)
    production = None
    try:
        whole = server.start()
        server.wait_until_ready()
        use(server.env["DATABASE_URL"])
        production = Production(server, folder, postgres, whole)
        yield production
    finally:
        for agent in production.agents.values() if production else ():
            agent.terminate()
            agent.wait(30)
        connection.close()
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def production(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Production]:
    if request.param == "sqlite":
        with producing(tmp_path, None) as made:
            yield made
        return
    with serving_postgres(options=["max_connections=200"]) as postgres, producing(tmp_path, postgres) as made:
        yield made


def forget_leases_of(agent: str) -> None:
    """As if the time of their leases had passed."""
    again(lambda: Attempt.objects.filter(agent__name=agent, state__in=("leased", "running")).update(lease_until=EPOCH))


def forget_leases_of_the_dead(production: Production) -> None:
    """As if their time had passed, too, where a request of an agent was under way when it was killed.

    The server may do it after `forget_leases_of`: the lease is new then, and nobody is there to use it.
    """
    at_work = production.jobs_at_work()
    if production.reports_wait():
        return
    silent = Attempt.objects.filter(state__in=("leased", "running"), seen__lt=earlier(now(), SILENT_S))
    again(lambda: silent.exclude(job__in=at_work).update(lease_until=EPOCH))


def let_time_pass() -> None:
    """As if what has to wait had waited."""
    again(lambda: Job.objects.filter(state="ready").update(not_before=EPOCH))
    again(lambda: AvoidedPlace.objects.filter(job__state="ready").delete())


def again(work: Callable[[], object]) -> None:
    """This process, too, loses its connections."""
    from pilotext.server.database import transact

    transact(work)


def wait_until_done(production: Production, task: int) -> None:
    client = production.server.client("viewer")
    end = time.monotonic() + ENDS_WITHIN_S
    while (row := state_of(client, task)) is None or row.state != "done":
        assert time.monotonic() < end, (
            row,
            production.killed,
            production.server.log()[-4000:],
            production.said_by_agents(),
        )
        forget_leases_of_the_dead(production)
        let_time_pass()
        time.sleep(0.3)
    assert row.jobs == {"finished": JOBS}


def state_of(client: Client, task: int) -> TaskRow | None:
    """None while what was killed is being started again."""
    try:
        return client.get(f"/api/v1/tasks/{task}", TaskPage).task
    except ServerError as error:
        assert error.worth_another_try, error
        return None


@pytest.mark.timeout(int((KILLS + 1) * READY_WITHIN_S + ENDS_WITHIN_S))
@pytest.mark.fault("report", "server, agents and database are killed at random moments")
def test_whatever_is_killed_every_job_is_done_once_and_no_report_is_lost(production: Production) -> None:
    files = [raw(1, chunk) for chunk in range(JOBS)]
    manager = production.server.client("manager")
    task = manager.post("/api/v1/tasks", TaskDocument({"task": task_document(files)}), Submitted).task
    for number in range(AGENTS):
        production.start_agent(f"agent-{number}")
    kills = [
        production.kill_web,
        production.kill_agent,
        production.cut_connections,
        production.kill_web_worker,
        production.kill_cycle,
        production.kill_server,
        production.kill_database,
    ]
    random.shuffle(kills)
    for number in range(KILLS):
        time.sleep(random.uniform(0.3, 1.5))
        kill = kills[number % len(kills)]
        production.killed.append(kill.__name__)
        kill()
        production.server.wait_until_ready()
    wait_until_done(production, task)
    for agent in production.agents.values():
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0, (production.killed, production.said_by_agents())
    check_jobs(production)
    check_audit_trail()


def check_jobs(production: Production) -> None:
    assert not (production.folder / "twice").exists(), (production.folder / "twice").read_text()
    assert not list(production.folder.rglob("*.refused"))
    finished = dict(Attempt.objects.filter(state="finished").values_list("job_id", "pk"))
    assert Attempt.objects.filter(state="finished").count() == len(finished) == JOBS
    for line in (production.folder / "acknowledged").read_text().splitlines():
        job, attempt, accepted = line.split()
        assert AttemptReport.objects.filter(pk=int(attempt)).exists(), (line, production.killed)
        assert (accepted == "True") == (finished[int(job)] == int(attempt)), (line, production.killed)
    outputs: dict[int, list[str]] = defaultdict(list)
    for job_id, attempt_id, name in Output.objects.filter(state="valid").values_list("job_id", "attempt_id", "name"):
        assert finished[job_id] == attempt_id
        outputs[job_id].append(name)
    assert len(outputs) == JOBS
    assert {(len(names), len(set(names))) for names in outputs.values()} == {(len(outputs[min(outputs)]),) * 2}


def check_audit_trail() -> None:
    """Every job's moves follow from each other, from its beginning to its end."""
    moves: dict[int, list[tuple[str, str]]] = defaultdict(list)
    rows = AuditEntry.objects.filter(subject="job").order_by("pk")
    for job, before, after in rows.values_list("subject_id", "before", "after"):
        moves[job].append((before, after))
    assert len(moves) == JOBS
    for chain in moves.values():
        assert (chain[0][0], chain[-1][1]) == ("ready", "finished")
        assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(chain)), chain
