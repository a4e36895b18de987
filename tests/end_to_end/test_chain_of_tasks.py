"""Three tasks in a chain, submitted together: each job begins when its input is there, and no event is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.api.schemas.jobs import JobList
from pilotext.api.schemas.runs import RunList
from pilotext.api.schemas.tasks import TaskList
from tests.support.pilotext_server import production_server

pytestmark = pytest.mark.timeout(600)

SITE = "CHAIN_SITE"

PROFILE = """
format: 1
experiment: CHAIN
number: 72
names:
  gen: 'gen-{run:d}-{chunk:03d}.txt'
  sim: 'sim-{run:d}-{chunk:03d}.txt'
  reco: 'reco-{run:d}-{chunk:03d}.txt'
  merged reco: 'reco-{run}.txt'
  joblog: '{task}-{job}-{attempt}.job.log.tgz'
parameters: {program: , store: }
output_kinds:
  gen: {events: [events_processed]}
  sim: {events: [events_processed]}
  reco: {events: [events_processed]}
job_types:
  generation:
    kind: generation
    generates: true
    command: [/bin/bash, '{program}', '{gen}', '{seed}', '{events}']
    outputs: [{name: '{gen}', kind: gen, to: ['{store}gen/']}]
    log: {name: '{joblog}', to: ['{store}logs/']}
    limits: {wall_s: 300}
    success: {law: 'events_processed == {events}'}
  simulation:
    kind: simulation
    input: {form: gen}
    inherits: [program, store]
    command: [/bin/bash, '{program}', '{sim}', '{gen}']
    outputs: [{name: '{sim}', kind: sim, to: ['{store}sim/']}]
    log: {name: '{joblog}', to: ['{store}logs/']}
    limits: {wall_s: 300}
    success: {law: events_processed == sum(inputs.events)}
  reconstruction:
    kind: reconstruction
    like: simulation
    input: {form: sim}
    command: [/bin/bash, '{program}', '{reco}', '{sim}']
    outputs: [{name: '{reco}', kind: reco, to: ['{store}reco/']}]
    merges: [reco]
  merging:
    kind: merging
    command: [/bin/bash, -c, 'cat "$@" > $0', '{merged}', '{inputs}']
    outputs: [{name: '{merged}', kind: reco, to: ['{store}']}]
    log: {name: '{joblog}', to: ['{store}logs/']}
merges:
  reco: {type: merging, of: reco, name: merged reco, limit: 1.0e9, check: {by: bytes, catalogue: true}}
retry:
  rules: [{then: retry, wait_s: 1, tries: 3}]
sites:
  CHAIN_SITE: {max_active: 2}
"""

RULES = """
format: 1
experiment: CHAIN
counters:
- {name: events_processed, match: 'wrote (?<n>\\d+) events'}
"""

PROGRAM = """
# Writes one line for each event, or those of a file. The job with the seed 41 fails the first time that it runs.
file=$1 from=$2 events=$3
[ "$from" != 41 ] || ! mkdir "${0%/*}/failed" 2>/dev/null || exit 3
if [ -z "$events" ]; then sed 's/$/ seen/' "$from" > "$file"
else for event in $(seq "$events"); do echo "$from $event"; done > "$file"; fi
echo "wrote $(wc -l < "$file") events"
"""

EVENTS = [f"{seed} {event}" for seed in (40, 41) for event in range(1, 11)]


def tasks(folder: Path) -> list[dict[str, object]]:
    (folder / "rules/chain").mkdir(parents=True)
    (folder / "rules/chain/experiment.yaml").write_text(PROFILE)
    (folder / "rules/chain/counters.yaml").write_text(RULES)
    (folder / "program.sh").write_text(PROGRAM)
    generated = {
        "generate": {"jobs": 2, "events": 10, "run": 9, "seed": 40},
        "parameters": {"program": str(folder / "program.sh"), "store": f"file://{folder}/store/"},
    }
    return [
        {"experiment": "CHAIN", "name": "gen1", "type": "generation", **generated},
        {"experiment": "CHAIN", "name": "sim1", "type": "simulation", "files": {"outputs_of": {"task": "gen1"}}},
        {"experiment": "CHAIN", "name": "reco1", "type": "reconstruction", "parent": "sim1"},
    ]


def test_a_chain_of_tasks_that_are_submitted_together_ends_with_every_event_once(tmp_path: Path) -> None:
    chain = tasks(tmp_path)
    with production_server(tmp_path, PILOTEXT_RULES=str(tmp_path / "rules")) as server:
        viewer = server.client("viewer")
        server.submit(chain[0])
        server.submit(chain[1])
        told = server.submit(chain[2], "--dry-run")
        assert "0 inputs are there now; 2 jobs follow, each when its input is there" in told
        server.submit(chain[2])
        assert "it waits for 2 jobs of task gen1" in server.command("viewer", "tasks", "show", "sim1").stdout
        agent = server.agent("--site", SITE)
        done = server.command("manager", "tasks", "wait", "reco1", "--within", "300")
        assert done.returncode == 0, server.command("manager", "jobs").stdout
        agent.terminate()
        assert agent.wait(60) == 0
        assert {row.state for row in viewer.get("/api/v1/tasks", TaskList).tasks} == {"done"}
        merged = (tmp_path / "store/reco-9.txt").read_text().split("\n")[:-1]
        assert merged == [f"{event} seen seen" for event in EVENTS]
        jobs = viewer.get("/api/v1/jobs", JobList).jobs
        assert len(jobs) == 3 * 2 + 1
        attempts = {(job.task, job.chunk): job.attempts for job in jobs if job.chunk is not None}
        assert attempts == {
            (task, chunk): 1 + (task == "gen1" and chunk == 2) for task in ("gen1", "sim1", "reco1") for chunk in (1, 2)
        }
        for task in ("gen1", "sim1", "reco1"):
            (run,) = viewer.get(f"/api/v1/runs?task={task}", RunList).runs
            assert run.events is not None
            assert (run.events.catalogue, run.events.processed) == (20, 20), task
