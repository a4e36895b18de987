"""A production server with jobs that are any shell command: for payloads that mean no good."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from pilotext.api.schemas.jobs import JobList, JobPage
from tests.support.pilotext_server import ProductionServer, production_server

SITE = "ADV_SITE"
WITHIN_S = 150.0

PROFILE = """
format: 1
experiment: ADV
number: 63
names:
  raw: 'adv-{chunk:d}-{run:d}.dat'
  out: 'advout-{chunk}-{run}.txt'
  joblog: '{task}-{job}-{attempt}.job.log.tgz'
parameters:
  cmd: 'true'
values: {}
job_types:
  attack:
    kind: tool
    input: {form: raw, sources: ['{file}'], tape: false}
    command: [/bin/bash, -c, '{cmd}']
    outputs:
      - {name: '{out}', kind: other, to: ['OUT/'], check: none}
    log: {name: '{joblog}', to: ['LOGS/']}
    limits: {wall_s: 600, memory_mb: 4000, transfer_tries: 1, transfer_wait_s: 0.1}
  shell:
    kind: tool
sites:
  ADV_SITE: {max_active: 2000}
"""


@contextmanager
def hostile_server(folder: Path, out: str = "", logs: str = "", **environment: str) -> Iterator[ProductionServer]:
    """A server whose jobs publish below `out`, and their logs below `logs`, by default in folders of these names."""
    (folder / "rules/adv").mkdir(parents=True)
    out = out or f"file://{folder}/out"
    profile = PROFILE.replace("OUT", out).replace("LOGS", logs or f"file://{folder}/logs")
    (folder / "rules/adv/experiment.yaml").write_text(profile)
    (folder / "raw").mkdir()
    with production_server(folder, PILOTEXT_RULES=str(folder / "rules"), **environment) as server:
        yield server


def submit(server: ProductionServer, name: str, script: str, chunk: int = 1) -> None:
    """Submit a task of one job that is this script; it reads braces as itself."""
    raw = server.folder / f"raw/adv-{chunk}-1.dat"
    raw.write_text("data\n")
    path = server.folder / f"{name}.sh"
    path.write_text(script)
    task = {
        "experiment": "ADV",
        "name": name,
        "type": "attack",
        "files": {"these": [f"file://{raw}"]},
        "parameters": {"cmd": f"bash {path}"},
        "staging": False,
        "merges": [],
    }
    document = server.folder / f"{name}.yaml"
    document.write_text(yaml.safe_dump(task))
    done = server.command("manager", "submit", str(document))
    assert done.returncode == 0, done.stderr


def page(server: ProductionServer, task: str) -> JobPage:
    """All about the one job of a task."""
    client = server.client("viewer")
    (job,) = [job for job in client.get("/api/v1/jobs", JobList).jobs if job.task == task]
    return client.get(f"/api/v1/jobs/{job.job}", JobPage)


def wait_for(what: Callable[[], object], server: ProductionServer) -> None:
    end = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < end, server.log()
        time.sleep(0.1)


def read_json(path: Path) -> object:
    return json.loads(path.read_text())


def wait_until_finished(server: ProductionServer, task: str) -> None:
    """Wait for the job of a task, whose agent has reported a success: the server compares its files first."""
    wait_for(lambda: page(server, task).job.state == "finished", server)
