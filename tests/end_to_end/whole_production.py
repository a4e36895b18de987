"""A production of three runs on real parts, in which each of the things of FAULTS goes wrong once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from fixtures.raw_names import raw_name
from fixtures.servers.postgres import PostgresServer
from fixtures.servers.tape import TapeServer
from fixtures.servers.xrootd import XrdServer
from pilotext.api.client import ServerError
from pilotext.api.schemas.agents import AgentList, AgentRow
from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.jobs import JobList, JobPage, JobRow
from pilotext.api.schemas.runs import ProductList, ProductRow
from pilotext.api.schemas.tasks import TaskList
from pilotext.formats import date_raw
from pilotext.server.boot import boot
from pilotext.server.times import EPOCH
from tests.end_to_end.whole_production_faults import CHUNKS, FAULTS, RUNS, Fault, Place
from tests.support.jobs import CHECKOUT
from tests.support.pilot import Pilot, installed_release
from tests.support.pilotext_server import ProductionServer
from tests.support.processes import children_of, command_of

boot()

from pilotext.server.database import transact  # noqa: E402  needs boot
from pilotext.server.production.models import Attempt, Job, LogArchive, Product, StagedFile, Verification  # noqa: E402

T = TypeVar("T")

RAW = "/castor/cern.ch/compass/data/2016/raw/W14"
TASK = "dvcs2016P09t1"
SITE = "CERN_COMPASS_PROD"
PILOTS = "cern-pilots"
BY_PILOTS = 2
NODES = ("wn1", "wn2", "wn3")
PERSON = "person:test-expert"
"""Who decides, as the audit trail has it."""

KEEP_AFTER_S = 3.0
"""Outputs of a job whose storage is away are left to the agent after this."""

WITHIN_S = 1200.0
GONE_WITHIN_S = 60.0


@dataclass(frozen=True)
class Scale:
    """How large a production is, what goes wrong in it, and its database: `sqlite` or `postgresql`."""

    database: str
    runs: tuple[int, ...] = RUNS
    chunks: tuple[int, ...] = CHUNKS
    faults: tuple[Fault, ...] = FAULTS


@dataclass(frozen=True)
class Outage:
    """A time, in seconds since 1970, when a storage server was away, and the server's `root://HOST:PORT`."""

    server: str
    begin: float
    end: float


@dataclass
class Production:
    """The parts, and what has become of them so far. `agent_module` is what runs an agent, as the command does."""

    server: ProductionServer
    tape: TapeServer
    eos: XrdServer
    scale: Scale
    agent_module: str = "pilotext"
    postgres: PostgresServer | None = None
    agents: dict[str, psutil.Popen] = field(default_factory=dict)
    pilots: list[Pilot] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.viewer, self.expert = self.server.client("viewer"), self.server.client("expert")

    @property
    def marks(self) -> Path:
        return self.server.folder / "marks"

    @property
    def places(self) -> list[Place]:
        return [(run, chunk) for run in self.scale.runs for chunk in self.scale.chunks]

    @property
    def faults(self) -> dict[Place, Fault]:
        return {fault.place: fault for fault in self.scale.faults if fault.place in self.places}

    def raw_on_tape(self, place: Place) -> Path:
        return self.tape.tape / RAW.lstrip("/") / raw_name(*place)

    def raw_on_disk(self, place: Place) -> Path:
        return self.tape.store / RAW.lstrip("/") / raw_name(*place)

    def good_events(self, run: int) -> int:
        """The events of those raw files of a run that are whole, counted in the files."""
        found = [date_raw.walk(self.raw_on_tape(place)) for place in self.places if place[0] == run]
        return sum(each.physics for each in found if each.damage is None)

    # ---------------------------------------------------------------------------------------------- who does the work

    def begin(self) -> None:
        """Two pilots have the first two jobs, one good and one that fails, before three agents take part."""
        self.wait_until(lambda: {row.state for row in self.jobs()} == {"ready"})
        for _ in range(BY_PILOTS):
            self.start_pilot()
        self.wait_until(lambda: sum(row.attempts for row in self.jobs()) == BY_PILOTS)
        for node in NODES:
            self.start_agent(node)

    def start_agent(self, node: str, *options: str) -> None:
        """A real agent on a machine of that name, as far as it can see."""
        server = self.server
        env = {**server.env, "PILOTEXT_SERVER": server.url, "PILOTEXT_TOKEN": server.token("agent")}
        alone = ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), "--uts", "/bin/sh", "-c"]
        command = [sys.executable, "-P", "-X", "utf8", "-m", self.agent_module, "agent", "--name", node, "--site", SITE]
        command += ["--keep-after", str(KEEP_AFTER_S), *options]
        words = [*alone, 'hostname "$0" && exec "$@"', node, *command]
        with (server.folder / f"{node}.log").open("ab") as log:
            folder = str(server.folder / node)
            self.agents[node] = psutil.Popen([*words, "--workdir", folder], env=env, stdout=log, stderr=log)

    def agent_that_waits_for_it(self) -> str | None:
        """The agent whose job says that it waits for a SIGKILL; None as long as none does."""
        mark = self.marks / "pid"
        if not mark.exists():
            return None
        parents = {each.pid for each in psutil.Process(int(mark.read_text())).parents()}
        return next(node for node, agent in self.agents.items() if agent.pid in parents)

    def kill_agent(self, node: str) -> None:
        """SIGKILL; its jobs must end with it. Then, as if the time of their leases had passed, it comes back."""
        agent = self.agents.pop(node)
        jobs = children_of(agent, recursive=True)
        agent.kill()
        agent.wait()
        _, alive = psutil.wait_procs(jobs, GONE_WITHIN_S)
        assert not alive, [command_of(process) for process in alive]
        rows = Attempt.objects.filter(agent__name=node, state__in=("leased", "running"))
        again(lambda: rows.update(lease_until=EPOCH))
        self.start_agent(node)

    def start_pilot(self) -> None:
        """A PanDA pilot that takes one job; it proves itself by a token in a file, as pilots do."""
        folder = self.server.folder / f"pilot{len(self.pilots) + 1}"
        folder.mkdir()
        (folder / "token").write_text(self._token_of_pilots())
        given = {
            "PILOTEXT_HOME": str(CHECKOUT),
            "PANDA_AUTH_TOKEN": "token",
            "PANDA_AUTH_ORIGIN": "compass.pilot",
            "PANDA_AUTH_DIR": str(folder / "token"),
        }
        pilot = Pilot(installed_release(), folder, self.server.port, given, queue=SITE)
        self.pilots.append(pilot)
        pilot.__enter__()

    def _token_of_pilots(self) -> str:
        if PILOTS not in self.server.tokens:
            words = ("server", "token", "--role", "agent", "--site", SITE, "--label", PILOTS)
            made = self.server.command("manager", *words)
            assert made.returncode == 0, made.stderr
            self.server.tokens[PILOTS] = made.stdout.strip()
        return self.server.tokens[PILOTS]

    def kill_pilots(self) -> None:
        """SIGKILL for all of them and what they have; another one comes."""
        for pilot in self.pilots:
            if pilot.is_running():
                below = children_of(psutil.Process(pilot.pid), recursive=True)
                pilot.__exit__(None, None, None)
                _, alive = psutil.wait_procs(below, GONE_WITHIN_S)
                assert not alive, alive
        rows = Attempt.objects.filter(pilot=PILOTS, state__in=("leased", "running"))
        again(lambda: rows.update(lease_until=EPOCH))
        of_killed = Verification.objects.filter(attempt__pilot=PILOTS, attempt__pilot_said={})
        again(lambda: of_killed.update(busy_until=EPOCH))  # none of them says how its wrapper ended
        self.start_pilot()

    def drain_agents(self) -> None:
        """SIGTERM for all of them, each once it has begun to work; they end well."""
        begun = {node: agent.create_time() for node, agent in self.agents.items()}
        self.wait_until(lambda: all(row.seen > begun.get(row.name, 0.0) for row in self.known_agents()))
        for agent in self.agents.values():
            agent.send_signal(signal.SIGTERM)
        for node, agent in self.agents.items():
            assert agent.wait(GONE_WITHIN_S) == 0, (self.server.folder / f"{node}.log").read_text()

    def stop(self) -> None:
        for pilot in self.pilots:
            pilot.__exit__(None, None, None)
        for agent in self.agents.values():
            if agent.is_running():
                agent.terminate()
        psutil.wait_procs(self.agents.values(), GONE_WITHIN_S)

    # ------------------------------------------------------------------------------------------------- how far it is

    def look(self, path: str, kind: type[T], query: dict[str, Any] | None = None) -> T:
        """What the API says; a server that was killed is waited for."""
        end = time.monotonic() + WITHIN_S
        while True:
            try:
                return self.viewer.get(path, kind, query)
            except ServerError as error:
                assert error.worth_another_try, error
                assert time.monotonic() < end, error
            time.sleep(0.2)

    def jobs(self, task: str = TASK) -> tuple[JobRow, ...]:
        return self.look("/api/v1/jobs", JobList, {"limit": 1000, "task": task}).jobs

    def pages(self) -> list[JobPage]:
        return [self.look(f"/api/v1/jobs/{row.job}", JobPage) for row in self.jobs()]

    def known_agents(self) -> tuple[AgentRow, ...]:
        return self.look("/api/v1/agents", AgentList).agents

    def products(self) -> tuple[ProductRow, ...]:
        return self.look("/api/v1/products", ProductList, {"task": TASK}).products

    def task_state(self, task: str = TASK) -> str:
        rows = self.look("/api/v1/tasks", TaskList).tasks
        return next(row.state for row in rows if row.name == task)

    def job_at(self, place: Place) -> JobRow:
        return next(row for row in self.jobs() if (row.run, row.chunk) == place and not row.product)

    def page_at(self, place: Place) -> JobPage:
        return self.look(f"/api/v1/jobs/{self.job_at(place).job}", JobPage)

    def raws_on_disk(self) -> int:
        return sum(self.raw_on_disk(place).exists() for place in self.places)

    def merge_without(self, run: int, why: str) -> tuple[int, ...]:
        """The decision on a run that is held; returns the products that it moved."""
        product = next(row.product for row in self.products() if row.run == run)
        return self.expert.post(f"/api/v1/products/{product}/move", Move("merge-without", why), Moved).moved

    def wait_until(self, what: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait with the clock accelerated."""

        def sooner() -> None:
            self.let_time_pass()
            meanwhile()

        self.wait_in_true_time(what, sooner)

    def wait_in_true_time(self, what: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        end = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < end, self.server.log()[-20_000:]
            meanwhile()
            time.sleep(0.5)

    def let_time_pass(self) -> None:
        """Nobody waits minutes for another attempt here: what is due later is due now."""
        again(lambda: Job.objects.filter(state="ready", not_before__gt=EPOCH).update(not_before=EPOCH))

    def forget_claims(self) -> None:
        """As if the claims of a cycle that was killed had expired."""
        for model in (StagedFile, Product, LogArchive):
            again(model.objects.filter(busy_until__gt=EPOCH).update, busy_until=EPOCH)


def again(work: Callable[..., object], **words: object) -> None:
    """In a transaction; this process, too, loses its connections."""
    transact(lambda: work(**words))
