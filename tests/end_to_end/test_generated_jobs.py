"""A production without input files: generated events, each job with a seed of its own, merged by run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.api.schemas.jobs import JobList
from pilotext.api.schemas.runs import RunList
from tests.support.pilotext_server import production_server

pytestmark = pytest.mark.timeout(600)

SITE = "GEN_SITE"

PROFILE = """
format: 1
experiment: GEN
number: 71
names:
  hits: 'hits-{run}-{chunk:03d}.txt'
  merged hits: 'hits-{run}.txt'
  joblog: '{task}-{job}-{attempt}.job.log.tgz'
parameters: {program: , store: }
job_types:
  generation:
    kind: generation
    generates: true
    command: [/bin/bash, '{program}', '{seed}', '{events}', '{hits}']
    outputs: [{name: '{hits}', kind: hist, to: ['{store}chunks/']}]
    log: {name: '{joblog}', to: ['{store}logs/']}
    limits: {wall_s: 300}
    success: {law: 'generated == {events}'}
    merges: [hits]
  merging:
    kind: merging
    command: [/bin/bash, -c, 'cat "$@" > $0', '{merged}', '{inputs}']
    outputs: [{name: '{merged}', kind: hist, to: ['{store}']}]
    log: {name: '{joblog}', to: ['{store}logs/']}
merges:
  hits: {type: merging, of: hist, name: merged hits, limit: 1.0e9, check: {by: bytes}}
retry:
  rules: [{then: retry, wait_s: 1, tries: 3}]
sites:
  GEN_SITE: {max_active: 2}
"""

RULES = """
format: 1
experiment: GEN
counters:
- {name: generated, match: 'generated (?<n>\\d+) events'}
"""

GENERATOR = """
# One line for each event. The job with the seed 42 loses one the first time that it runs.
seed=$1 events=$2 file=$3
[ "$seed" != 42 ] || mkdir "${0%/*}/lost" 2>/dev/null && [ "$seed" = 42 ] && events=$((events - 1))
for event in $(seq "$events"); do echo "$seed $event"; done > "$file"
echo "generated $(wc -l < "$file") events"
"""


def folder_with_everything(folder: Path) -> dict[str, object]:
    (folder / "rules/gen").mkdir(parents=True)
    (folder / "rules/gen/experiment.yaml").write_text(PROFILE)
    (folder / "rules/gen/counters.yaml").write_text(RULES)
    (folder / "generator.sh").write_text(GENERATOR)
    return {
        "experiment": "GEN",
        "name": "mc1",
        "type": "generation",
        "generate": {"jobs": 4, "events": 25, "run": 9, "seed": 40},
        "parameters": {"program": str(folder / "generator.sh"), "store": f"file://{folder}/store/"},
    }


def test_a_production_without_input_files_ends_with_every_event_once(tmp_path: Path) -> None:
    task = folder_with_everything(tmp_path)
    with production_server(tmp_path, PILOTEXT_RULES=str(tmp_path / "rules")) as server:
        assert "generator.sh 40 25 hits-9-001.txt" in server.submit(task, "--dry-run")
        assert not server.client("viewer").get("/api/v1/jobs", JobList).jobs
        server.submit(task)
        agent = server.agent("--site", SITE)
        done = server.command("manager", "tasks", "wait", "mc1", "--within", "300")
        assert done.returncode == 0, server.command("manager", "jobs", "manual", "--task", "mc1").stdout
        agent.terminate()
        assert agent.wait(60) == 0
        merged = (tmp_path / "store/hits-9.txt").read_text().split("\n")[:-1]
        assert merged == [f"{seed} {event}" for seed in range(40, 44) for event in range(1, 26)]
        jobs = server.client("viewer").get("/api/v1/jobs", JobList).jobs
        attempts = {job.chunk: job.attempts for job in jobs if job.chunk is not None}
        assert attempts == {1: 1, 2: 1, 3: 2, 4: 1}, "the one that made 24 of 25 events was run again"
        (run,) = server.client("viewer").get("/api/v1/runs?task=mc1", RunList).runs
        assert run.events is not None
        assert run.events.catalogue == 100, "events that were asked for"
