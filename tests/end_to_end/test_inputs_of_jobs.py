"""Several files for one job, and several jobs for one file: no event is lost or doubled, and their order is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.api.schemas.jobs import JobList
from pilotext.api.schemas.runs import RunList
from tests.support.pilotext_server import production_server

pytestmark = pytest.mark.timeout(600)

SITE = "EVENT_SITE"

PROFILE = """
format: 1
experiment: EVENT
number: 73
names:
  raw: 'raw-{run:d}-{chunk:d}.txt'
  reco: 'reco-{run}-{chunk}.txt'
  part: 'part-{run}-{chunk}-{range:03d}.txt'
  merged: '{task}-{run}.txt'
  joblog: '{task}-{job}-{attempt}.job.log.tgz'
parameters: {store: }
job_types:
  whole:
    kind: reconstruction
    input: {form: raw}
    command: [/bin/bash, -c, 'cat "$@" > $0; echo "wrote $(wc -l < $0) events"', '{reco}', '{inputs}']
    outputs: [{name: '{reco}', kind: reco, to: ['{store}']}]
    log: {name: '{joblog}', to: ['{store}logs/']}
    limits: {wall_s: 300}
    success: {law: events_processed == sum(inputs.events)}
    merges: [reco]
  split:
    kind: reconstruction
    like: whole
    splits: true
    command: [/bin/bash, -c, 'tail -n +$2 $1 | head -n $3 > $0; echo "wrote $(wc -l < $0) events"',
      '{part}', '{raw}', '{first_event}', '{events}']
    outputs: [{name: '{part}', kind: reco, to: ['{store}']}]
    success: {law: 'events_processed == {events}'}
  merging:
    kind: merging
    command: [/bin/bash, -c, 'cat "$@" > $0', '{merged}', '{inputs}']
    outputs: [{name: '{merged}', kind: reco, to: ['{store}merged/']}]
    log: {name: '{joblog}', to: ['{store}logs/']}
merges:
  reco: {type: merging, of: reco, name: merged, limit: 1.0e9, check: {by: bytes, catalogue: true}}
sites:
  EVENT_SITE: {max_active: 2}
"""

RULES = """
format: 1
experiment: EVENT
counters:
- {name: events_processed, match: 'wrote (?<n>\\d+) events'}
"""

EVENTS = {1: 3, 2: 7}
"""Events of each chunk."""


def test_joined_and_split_files_end_with_every_event_once(tmp_path: Path) -> None:
    (tmp_path / "rules/event").mkdir(parents=True)
    (tmp_path / "rules/event/experiment.yaml").write_text(PROFILE)
    (tmp_path / "rules/event/counters.yaml").write_text(RULES)
    lines = {chunk: [f"{chunk} {event}" for event in range(1, events + 1)] for chunk, events in EVENTS.items()}
    for chunk, mine in lines.items():
        (tmp_path / f"raw-9-{chunk}.txt").write_text("".join(f"{line}\n" for line in mine))
    files = [f"file://{tmp_path}/raw-9-{chunk}.txt" for chunk in EVENTS]
    known = zip(files, EVENTS.values(), strict=True)
    (tmp_path / "known.csv").write_text("file,events\n" + "".join(f"{file},{events}\n" for file, events in known))
    same = {
        "experiment": "EVENT",
        "files": {"these": files},
        "catalogue": str(tmp_path / "known.csv"),
        "parameters": {"store": f"file://{tmp_path}/store/"},
    }
    with production_server(tmp_path, PILOTEXT_RULES=str(tmp_path / "rules")) as server:
        viewer = server.client("viewer")
        server.submit({**same, "name": "joined", "type": "whole", "inputs_per_job": {"files": 2}})
        server.submit({**same, "name": "split", "type": "split", "events_per_job": 5})
        agent = server.agent("--site", SITE)
        for task in ("joined", "split"):
            done = server.command("manager", "tasks", "wait", task, "--within", "300")
            assert done.returncode == 0, server.command("manager", "jobs").stdout + done.stderr
        agent.terminate()
        assert agent.wait(60) == 0
        jobs = viewer.get("/api/v1/jobs", JobList).jobs
        assert [(job.task, job.chunk) for job in jobs if not job.product] == [
            ("joined", 1),
            *(("split", chunk) for chunk in (1, 2, 2)),
        ]
        for task in ("joined", "split"):
            merged = (tmp_path / f"store/merged/{task}-9.txt").read_text().split("\n")[:-1]
            assert merged == [line for mine in lines.values() for line in mine], task
            (run,) = viewer.get(f"/api/v1/runs?task={task}", RunList).runs
            assert run.events is not None
            assert (run.events.catalogue, run.events.processed) == (10, 10), task
