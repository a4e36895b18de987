"""A factory on a real Slurm: agents bring a production to its end through everything that ends batch jobs.

Slurm, its node and the server are processes of the test, on 127.0.0.1.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fixtures.servers.slurm import SlurmCluster, serving_slurm
from pilotext.api.schemas.agents import AgentList
from pilotext.api.schemas.attempts import AttemptRow
from pilotext.api.schemas.factories import FactoryLabelRow, FactoryList
from pilotext.api.schemas.jobs import JobPage
from pilotext.engines.base import BatchJob, CommandEngine, Order
from pilotext.engines.pbs import PBSCommands
from pilotext.errors import BatchError
from tests.agent.test_agent import SITE, jobs, submit
from tests.engines.factory_files import label, written
from tests.support.pilotext_server import COMMAND, ProductionServer, impatient_checkout, production_server, serving
from tests.support.processes import command_of, is_alive

WITHIN_S = 240.0
CHUNKS = 24
SLOTS, MAX_JOBS, MAX_QUEUED = 3, 6, 2
HANGING = ("cdr0-7.raw", "cdr1-7.raw", "cdr2-7.raw")
"""Files whose first attempts run until something ends them."""


@dataclass
class Watch:
    """The largest numbers of batch jobs that were ever queued, and queued or running."""

    cluster: SlurmCluster
    queued: int = 0
    known: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self._over.wait(0.3):
            states = self.cluster.command("squeue", "-h", "--array", "-o", "%T").split()
            self.queued = max(self.queued, states.count("PENDING"))
            self.known = max(self.known, len(states))


@contextmanager
def watching(cluster: SlurmCluster) -> Iterator[Watch]:
    watch = Watch(cluster)
    thread = threading.Thread(target=watch.look)
    thread.start()
    try:
        yield watch
    finally:
        watch._over.set()
        thread.join()


@dataclass
class Farm:
    """A server with a task, a cluster, and a factory between them."""

    server: ProductionServer
    cluster: SlurmCluster
    file: Path
    factory: subprocess.Popen[bytes] | None = None

    def start_factory(self) -> None:
        env = {**self.server.env, "SLURM_CONF": self.cluster.env["SLURM_CONF"]}
        with (self.server.folder / "factory.log").open("ab") as log:
            self.factory = subprocess.Popen(
                [*COMMAND, "factory", "run", str(self.file)], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill_factory(self) -> None:
        assert self.factory is not None
        self.factory.kill()
        self.factory.wait()

    def label(self) -> FactoryLabelRow | None:
        """The label as the server shows it."""
        factories = self.server.client("viewer").get("/api/v1/factories", FactoryList).factories
        return factories[0].labels[0] if factories else None

    def attempts(self, file: str) -> tuple[AttemptRow, ...]:
        client = self.server.client("viewer")
        (job,) = (each for each in jobs(self.server) if each.file.endswith(f"/{file}"))
        return client.get(f"/api/v1/jobs/{job.job}", JobPage).attempts

    def batch_job_of(self, file: str) -> str:
        """The number of the batch job whose agent runs the last attempt on a file; it is in the agent's name."""
        agent = self.attempts(file)[-1].agent
        assert agent is not None
        found = re.fullmatch(r"f1\.short\.(\d+_\d+)", agent)
        assert found is not None, agent
        return found[1]

    def wait_for(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < end, f"{self.server.log()}\n{self.output()}\n{self.cluster.log()}"
            time.sleep(0.2)

    def output(self) -> str:
        return "\n".join(path.read_text() for path in (self.file.parent / "factory/output").glob("*.out"))

    def states(self) -> list[str]:
        return [job.state for job in jobs(self.server)]


def impatient_server(folder: Path) -> ProductionServer:
    """A server whose DDD filtering has no time limit, and that sends jobs again at once when an agent was ended."""
    checkout = impatient_checkout(folder / "checkout", 0.1)
    profile = checkout / "rules/compass/experiment.yaml"
    text = profile.read_text()
    for before, after in (
        ("wall_s: 86400, memory_mb: 2000", "memory_mb: 2000"),
        ("{cause: [evicted], then: retry, wait_s: 60", "{cause: [evicted], then: retry, wait_s: 1"),
        ("{cause: [lost], then: retry, wait_s: 10", "{cause: [lost], then: retry, wait_s: 1"),
    ):
        assert before in text
        text = text.replace(before, after)
    profile.write_text(text)
    given = {"PILOTEXT_LEASE_S": "90", "PILOTEXT_LISTABLE_FOLDERS": str(folder)}
    return ProductionServer(folder, environment=given, checkout=checkout)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with serving_slurm(SLOTS) as cluster, serving(impatient_server(tmp_path)) as server:
        first = f"mkdir {tmp_path}/first-$TMPRAWFILE 2>/dev/null && exec sleep 600"
        submit(server, f"case $TMPRAWFILE in {'|'.join(HANGING)}) {first};; esac\necho 'End of the decoding!'", CHUNKS)
        short = {"system": "slurm", "site": SITE, "max_jobs": MAX_JOBS, "max_queued": MAX_QUEUED, "burst": 2,
                 "wall_s": 60, "warn_s": 15, "stop_within_s": 1, "idle_s": 4, "scratch": str(tmp_path)}  # fmt: skip
        file = written(tmp_path, server=server.url, labels={"short": short}, cycle_s=0.5)
        (tmp_path / "token").write_text(server.token("agent"))
        made = Farm(server, cluster, file)
        try:
            yield made
        finally:
            if made.factory is not None:
                made.kill_factory()


@pytest.mark.long(150)
@pytest.mark.timeout(600)
@pytest.mark.fault(
    "dispatch",
    "batch jobs end by scancel, node death and time limit; controller away; factory killed; server restarted",
)
def test_agents_of_a_factory_on_slurm_bring_a_production_to_its_end(farm: Farm) -> None:
    server, cluster = farm.server, farm.cluster
    with watching(cluster) as watch:
        farm.start_factory()
        farm.wait_for(lambda: all((server.folder / f"first-{name}").exists() for name in HANGING))
        stopped, died, slow = HANGING
        cluster.command("scancel", farm.batch_job_of(stopped))
        cluster.command("scancel", "--signal=KILL", "--full", farm.batch_job_of(died))
        farm.wait_for(lambda: farm.attempts(stopped)[0].state == "failed")
        farm.kill_factory()
        farm.start_factory()
        cluster.kill_controller()
        farm.wait_for(lambda: (row := farm.label()) is not None and row.queued is None)
        cluster.start_controller()
        server.stop()
        server.start()
        server.wait_until_ready()
        farm.wait_for(lambda: farm.states() == ["finished"] * CHUNKS)
        farm.wait_for(lambda: (row := farm.label()) is not None and (row.queued, row.running) == (0, 0))
    assert watch.queued <= MAX_QUEUED
    assert watch.known <= MAX_JOBS
    attempts = {file: farm.attempts(file) for file in (job.file.rpartition("/")[2] for job in jobs(server))}
    ends = {file: [(each.state, each.cause or "") for each in tried] for file, tried in attempts.items()}
    assert [tried[-1] for tried in ends.values()] == [("finished", "")] * CHUNKS
    assert [ends[file][0] for file in (stopped, slow)] == [("failed", "evicted")] * 2
    # Nobody may be left to report; or the wrapper is, for a moment.
    assert ends[died][0] in (("lost", ""), ("failed", "evicted"))
    # Whatever else was tried again ran at the end of a slot.
    others = [end for file, tried in ends.items() if file not in HANGING for end in tried[:-1]]
    assert set(others) <= {("failed", "evicted")}, attempts
    row = farm.label()
    assert row is not None
    assert row.with_job >= SLOTS
    token = (server.folder / "token").read_text()
    assert token not in farm.output() + server.log() + (server.folder / "factory/short.sh").read_text()


@pytest.mark.long(20)
def test_pbs_commands_over_slurm_submit_list_and_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are those of the package `slurm-wlm-torque`: qsub, qstat and qdel of PBS, with Slurm behind them."""
    script = tmp_path / "sleep.sh"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    engine = CommandEngine(PBSCommands())
    order = Order("f1.short", script, tmp_path, label(system="pbs", options=("-o", str(tmp_path / "all.out"))), count=3)

    def jobs_of_f1() -> list[BatchJob]:
        return engine.jobs("f1.short")

    def wait_for(what: Callable[[], object]) -> None:
        end = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < end, cluster.log()
            time.sleep(0.1)

    with serving_slurm(slots=2) as cluster:
        monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
        assert jobs_of_f1() == []
        assert engine.submit(order).jobs == 3
        wait_for(lambda: sorted(job.queued for job in jobs_of_f1()) == [False, False, True])
        assert engine.jobs("f1.shor") == []
        cluster.kill_controller()
        with pytest.raises(BatchError):
            jobs_of_f1()
        cluster.start_controller()
        wait_for(lambda: cluster.command("sinfo", "-h", "-o", "%T").strip() != "")
        engine.cancel([job.number for job in jobs_of_f1()])
        wait_for(lambda: jobs_of_f1() == [])
        assert engine.submit(replace(order, count=1)).jobs == 1
        wait_for(lambda: [each for step in cluster.steps() for each in step.children() if "600" in command_of(each)])
        left = [each for step in cluster.steps() for each in (step, *step.children(recursive=True))]
        cluster.kill_controller()
    assert [each for each in left if is_alive(each)] == [], "nothing of a cluster outlives it, controller or not"


@pytest.mark.long(30)
def test_a_factory_on_this_machine_starts_an_agent_for_a_job_and_ends_with_its_token(tmp_path: Path) -> None:
    with production_server(tmp_path, PILOTEXT_LISTABLE_FOLDERS=str(tmp_path)) as server:
        submit(server, "echo 'End of the decoding!'")
        here = {"system": "local", "wall_s": 200_000, "idle_s": 1, "scratch": str(tmp_path)}
        file = written(tmp_path, server=server.url, labels={"here": {"site": SITE, **here}}, cycle_s=0.5)
        (tmp_path / "token").write_text(server.token("agent"))
        run = ("factory", "run", str(file))
        first = server.command("viewer", *run, "--once")
        assert first.returncode == 0, first.stderr
        assert "here: 1 batch job submitted" in first.stderr
        end = time.monotonic() + WITHIN_S
        while [job.state for job in jobs(server)] != ["finished"] or agents(server) != [("f1.here", "gone")]:
            assert time.monotonic() < end, server.log()
            time.sleep(0.2)
        assert server.command("viewer", *run, "--once").returncode == 0
        listed = server.command("viewer", "factory").stdout
        assert re.search(rf"f1 +here +{SITE} +local +0 +0 +0 +0 +1 +0 +0 .*no job waits for another agent", listed), (
            listed
        )
        assert "exec " in server.command("viewer", "factory", "script", str(file), "here").stdout
        assert server.command("viewer", "factory", "cancel", str(file), "here").stdout == "cancel: 0 batch jobs\n"
        wrong = server.command("viewer", "factory", "cancel", str(file), "her")
        assert (wrong.returncode, "Did you mean 'here'?" in wrong.stderr) == (64, True)
        (tmp_path / "token").write_text("revoked")
        ended = server.command("viewer", *run)
        assert ended.returncode == 70
        assert "token" in ended.stderr


def agents(server: ProductionServer) -> list[tuple[str, str]]:
    """Agents by name, without the number of their batch job, and state."""
    found = server.client("viewer").get("/api/v1/agents", AgentList).agents
    return [(each.name.rpartition(".")[0], each.state) for each in found]
