"""A production on a real Slurm of three nodes: a server, a factory, and batch jobs with agents and PanDA pilots.

Node n1 is there to die, n2 to be wanted by somebody else, and n3 for everything else. Some files hang in their first
attempt, one for each batch job that the factory may have, so that each end of a batch job meets one.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from fixtures.servers.ports import free_port
from fixtures.servers.slurm import SlurmCluster, serving_slurm
from pilotext.api.schemas.attempts import AttemptRow
from pilotext.api.schemas.factories import FactoryLabelRow, FactoryList
from pilotext.api.schemas.jobs import JobList, JobPage, JobRow
from pilotext.formats.date_raw_writer import make_raw
from tests.engines.factory_files import written
from tests.support.jobs import CHECKOUT
from tests.support.pilot import Pilot, installed_release
from tests.support.pilotext_server import COMMAND, ProductionServer, impatient_checkout, serving

WITHIN_S = 400.0
SITES = {"agent": "CERN_COMPASS_PROD", "pilot": "STAMPEDE_COMPASS_MCORE"}
"""Sites whose jobs are done by each of the two."""

RUNS = {"agent": 7, "pilot": 8}
NODE_OF = {"node failure": "n1", "preemption": "n2", "scancel": "n3", "SIGKILL": "n3", "time limit": "n3"}
"""Ends of batch jobs, and the nodes on which they come."""

MAX_QUEUED = 2

_PROGRAM = """#!/bin/bash
exec 9>{marks}/lock-$TMPRAWFILE
flock -n 9 || echo $TMPRAWFILE >> {marks}/twice
case $TMPRAWFILE in {hanging})
    if mkdir {marks}/$TMPRAWFILE 2>/dev/null; then
        echo ${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID $SLURMD_NODENAME > {marks}/$TMPRAWFILE/new
        mv {marks}/$TMPRAWFILE/new {marks}/$TMPRAWFILE/batch
        exec sleep 3000
    fi ;;
esac
sleep {sleep_s}
echo 'End of the decoding!'
"""


@dataclass(frozen=True)
class Scale:
    """Files of each site, ends that hit an agent or a pilot, and the time that a job takes."""

    files: dict[str, int]
    ends: dict[str, tuple[str, ...]]
    sleep_s: float = 0.0


@dataclass(frozen=True)
class Victim:
    """A file whose first attempt hangs, and the batch job that it hangs in."""

    program: str
    file: str
    batch_job: str
    node: str


@dataclass
class Watch:
    """The largest numbers of batch jobs of each label that were ever queued, and queued or running."""

    cluster: SlurmCluster
    queued: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self._over.wait(1.0):
            rows = self.cluster.command("squeue", "-h", "--array", "-o", "%j %T").splitlines()
            labels = [row.removeprefix("f1.").split() for row in rows if row.startswith("f1.")]
            self.known |= Counter(label for label, _ in labels)
            self.queued |= Counter(label for label, state in labels if state == "PENDING")


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
    """A server with two tasks, a cluster, and a factory between them."""

    server: ProductionServer
    cluster: SlurmCluster
    file: Path
    max_jobs: dict[str, int]
    """Batch jobs that each label may have."""
    factory: subprocess.Popen[bytes] | None = None

    @property
    def marks(self) -> Path:
        return self.server.folder / "marks"

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

    def labels(self) -> tuple[FactoryLabelRow, ...]:
        """The labels as the server shows them."""
        factories = self.server.client("viewer").get("/api/v1/factories", FactoryList).factories
        return factories[0].labels if factories else ()

    def jobs(self) -> tuple[JobRow, ...]:
        return self.server.client("viewer").get("/api/v1/jobs", JobList).jobs

    def attempts(self) -> dict[str, tuple[AttemptRow, ...]]:
        """The attempts on each file."""
        client = self.server.client("viewer")
        pages = {job.file: client.get(f"/api/v1/jobs/{job.job}", JobPage) for job in self.jobs()}
        return {file.rpartition("/")[2]: page.attempts for file, page in pages.items()}

    def first_has_ended(self, file: str) -> bool:
        client = self.server.client("viewer")
        (job,) = (each for each in self.jobs() if each.file.endswith(f"/{file}"))
        return client.get(f"/api/v1/jobs/{job.job}", JobPage).attempts[0].ended is not None

    def victim(self, program: str, file: str) -> Victim:
        """The batch job in which a file hangs; waits until it does."""
        told = self.marks / file / "batch"
        self.wait_for(told.exists)
        batch_job, node = told.read_text().split()
        return Victim(program, file, batch_job, node)

    def ends(self) -> dict[str, tuple[str, float]]:
        """State and end of each batch job, as Slurm says them."""
        rows = self.cluster.command("squeue", "-h", "--array", "--states=all", "-o", "%i %T %e").splitlines()
        told = [row.split() for row in rows]
        return {job: (state, datetime.fromisoformat(end).timestamp()) for job, state, end in told if "T" in end}

    def wait_for(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < end, f"{self.server.log()}\n{self.output()}\n{self.cluster.log()}"
            time.sleep(1.0)

    def output(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in (self.file.parent / "factory/output").glob("*.out"))


@contextmanager
def farming(folder: Path, scale: Scale) -> Iterator[Farm]:
    """A farm whose factory is not started."""
    port = free_port()
    address = installed_release().transformation(f"http://127.0.0.1:{port}/trf")
    given = {"PILOTEXT_TRF_URL": address, "PILOTEXT_LISTABLE_FOLDERS": str(folder)}
    checkout = _retrying_at_once(folder / "checkout")
    nodes = {program: Counter(NODE_OF[end] for end in ends) for program, ends in scale.ends.items()}
    slots = max(sum(counts[node] for counts in nodes.values()) for node in NODE_OF.values())
    with (
        serving_slurm(slots, nodes=3) as cluster,
        serving(ProductionServer(folder, port, given, checkout=checkout)) as server,
    ):
        _submit_tasks(server, scale)
        labels = {f"{program}-{node}": _label(server, program, node, most)
                  for program, counts in nodes.items() for node, most in counts.items()}  # fmt: skip
        file = written(folder, server=server.url, labels=labels, cycle_s=2)
        (folder / "token").write_text(server.token("agent"))
        farm = Farm(server, cluster, file, {name: label["max_jobs"] for name, label in labels.items()})
        try:
            yield farm
        finally:
            if farm.factory is not None:
                farm.kill_factory()


def _retrying_at_once(checkout: Path) -> Path:
    """Copy pilotext with a profile that sends jobs again at once when their agent was ended."""
    profile = impatient_checkout(checkout, 0.1) / "rules/compass/experiment.yaml"
    text = profile.read_text()
    for before, after in (
        ("{cause: [evicted], then: retry, wait_s: 60", "{cause: [evicted], then: retry, wait_s: 1"),
        ("{cause: [lost], then: retry, wait_s: 10", "{cause: [lost], then: retry, wait_s: 1"),
    ):
        assert before in text
        text = text.replace(before, after)
    profile.write_text(text)
    return checkout


def _label(server: ProductionServer, program: str, node: str, most: int) -> dict[str, Any]:
    label = {"system": "slurm", "site": SITES[program], "options": [f"--nodelist={node}"], "max_jobs": most,
             "max_queued": MAX_QUEUED, "wall_s": 200_000, "warn_s": 15, "stop_within_s": 1, "idle_s": 6,
             "scratch": f"{server.folder}/$SLURMD_NODENAME"}  # fmt: skip
    if program == "agent":
        return label
    folder = server.folder / f"pilot-{node}"
    folder.mkdir()
    (folder / "token").write_text(server.token("agent"))
    given = {"PILOTEXT_HOME": str(CHECKOUT), "PANDA_AUTH_TOKEN": "token", "PANDA_AUTH_ORIGIN": "compass.pilot",
             "PANDA_AUTH_DIR": str(folder / "token")}  # fmt: skip
    pilot = Pilot(installed_release(), folder, server.port, given, queue=SITES[program])
    others = {name: value for name, value in pilot.environment.items() if os.environ.get(name) != value}
    return {**label, "pilot": pilot.command, "environment": others}


def _submit_tasks(server: ProductionServer, scale: Scale) -> None:
    """Submit a task of DDD filtering for agents, and one for pilots; the first files of each hang."""
    folder = server.folder
    area = folder / "sw/p/s/coral"
    program = area / "src/DaqDataDecoding/examples/how-to/ddd"
    program.parent.mkdir(parents=True)
    hanging = "|".join(file for kind, ends in scale.ends.items() for file in hanging_files(kind, len(ends)))
    words = {"marks": folder / "marks", "hanging": hanging, "sleep_s": scale.sleep_s}
    program.write_text(_PROGRAM.format(**words))
    program.chmod(0o755)
    (area / "setup.sh").touch()
    for name in ("marks", "eos", "n1", "n2", "n3"):
        (folder / name).mkdir()
    for kind, files in scale.files.items():
        raw = folder / f"raw-{kind}"
        raw.mkdir()
        for chunk in range(files):
            make_raw(raw / f"cdr{chunk}-{RUNS[kind]}.raw", run=RUNS[kind], events=5)
        task = {
            "experiment": "COMPASS",
            "name": kind,
            "type": "DDD filtering",
            "files": {"folder": [f"file://{raw}/"]},
            "parameters": {"production": kind, "home": f"{folder}/sw/", "path": "p/", "soft": "s", "year": 2016,
                           "eos_server": f"file://{folder}"},
            "sites": [SITES[kind]],
            "staging": False,
            "merges": [],
        }  # fmt: skip
        path = folder / f"task-{kind}.yaml"
        path.write_text(yaml.safe_dump(task))
        done = server.command("manager", "submit", str(path))
        assert done.returncode == 0, done.stderr


def hanging_files(program: str, number: int) -> list[str]:
    return [f"cdr{chunk}-{RUNS[program]}.raw" for chunk in range(number)]
