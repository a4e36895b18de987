"""A factory on a real Slurm brings a production to its end through everything that ends batch jobs.

Its batch jobs are agents and unmodified PanDA pilots. Leases are those of a real server, an hour and two: what ends a
batch job is known long before, by the wrapper's report or by the word of the batch system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pilotext.api.schemas.attempts import AttemptRow
from tests.end_to_end.slurm_farm import MAX_QUEUED, NODE_OF, Farm, Scale, Victim, farming, hanging_files, watching

SOAK = bool(os.environ.get("PILOTEXT_SOAK"))
KNOWN_WITHIN_S = 60.0
"""Time from the end of a batch job to the end of its attempt on the server."""

SMALL = Scale(
    {"agent": 4, "pilot": 3},
    {"agent": ("preemption", "time limit", "node failure"), "pilot": ("scancel", "SIGKILL", "node failure")},
)
LARGE = Scale({"agent": 56, "pilot": 12}, dict.fromkeys(("agent", "pilot"), tuple(NODE_OF)), sleep_s=2.0)

EVICTED = ("failed", "evicted", "COMPASS-5011")
ENDS = {
    "scancel": [EVICTED],
    "time limit": [EVICTED],
    "preemption": [EVICTED],
    # All processes end at once; or a wrapper is left for a moment.
    "SIGKILL": [("lost", "", ""), EVICTED],
    "node failure": [("lost", "evicted", "COMPASS-5222")],
}
"""State, cause and code of an attempt by the end of its batch job."""

AT_ONCE = ("scancel", "preemption")
"""Ends that are reported while the server is there; it is restarted after them."""

STATES = {
    "scancel": {"CANCELLED"},
    "SIGKILL": {"FAILED", "CANCELLED"},
    "time limit": {"TIMEOUT", "COMPLETED"},  # an agent that was warned ends by itself
    "preemption": {"PREEMPTED"},
    "node failure": {"NODE_FAIL"},
}
"""Slurm's word for each of them."""


@pytest.fixture
def scale() -> Scale:
    return LARGE if SOAK else SMALL


@pytest.fixture
def farm(tmp_path: Path, scale: Scale) -> Iterator[Farm]:
    with farming(tmp_path, scale) as made:
        yield made


@pytest.mark.long(120)
@pytest.mark.timeout(1800)
@pytest.mark.fault("dispatch", "batch jobs of agents and pilots end by scancel, SIGKILL, time limit and preemption")
@pytest.mark.fault("dispatch", "node of a batch system dies; its controller is away; factory and server are restarted")
def test_agents_and_pilots_of_a_factory_on_slurm_bring_a_production_to_its_end(farm: Farm, scale: Scale) -> None:
    cluster, server = farm.cluster, farm.server
    with watching(cluster) as watch:
        farm.start_factory()
        victims = {
            (program, end): victim
            for program, ends in scale.ends.items()
            for end, victim in by_end(ends, [farm.victim(program, file) for file in hanging_files(program, len(ends))])
        }
        for (_, end), victim in victims.items():
            hit(farm, end, victim)
        cluster.kill_node("n1")
        for (_, end), victim in victims.items():
            if end in AT_ONCE:
                farm.wait_for(partial(farm.first_has_ended, victim.file))
        farm.kill_factory()
        cluster.stop_controller()
        server.stop()
        server.start()
        server.wait_until_ready()
        farm.start_factory()
        farm.wait_for(lambda: {label.queued for label in farm.labels()} == {None})
        cluster.start_controller()
        died = [victim.batch_job for (_, end), victim in victims.items() if end == "node failure"]
        farm.wait_for(lambda: {farm.ends()[job][0] for job in died} == {"NODE_FAIL"})
        cluster.start_node("n1")
        farm.wait_for(lambda: {job.state for job in farm.jobs()} == {"finished"})
        farm.wait_for(
            lambda: {(each.queued, each.running) for each in farm.labels() if each.starts == "agent"} == {(0, 0)}
        )
    assert max(watch.queued.values()) <= MAX_QUEUED
    assert dict(watch.known) == farm.max_jobs
    attempts, told = farm.attempts(), farm.ends()
    assert len(attempts) == sum(scale.files.values())
    for (_, end), victim in victims.items():
        first = attempts[victim.file][0]
        state, at = told[victim.batch_job]
        assert state in STATES[end], (end, victim)
        assert outcome(first) in ENDS[end], (end, first)
        assert first.ended is not None and first.ended < at + KNOWN_WITHIN_S, (end, first)
    again = {file: tried for file, tried in attempts.items() if len(tried) > 1}
    assert {*again} == {victim.file for victim in victims.values()}, again
    assert {len(tried) for tried in again.values()} == {2}, again
    assert {outcome(tried[-1]) for tried in attempts.values()} == {("finished", "", "")}
    published = [path for path in (server.folder / "eos").rglob("*.raw") if path.is_file()]
    assert len({path.name for path in published}) == len(published) == len(attempts)
    assert sum(label.with_job for label in farm.labels()) >= len(("preemption", "time limit"))
    said = [path.read_text() for path in (farm.file.parent / "factory").rglob("*") if path.is_file()]
    token = (server.folder / "token").read_text()
    assert said and token not in "".join(said) + server.log()
    assert not (farm.marks / "twice").exists(), (farm.marks / "twice").read_text()


def by_end(ends: tuple[str, ...], victims: list[Victim]) -> Iterator[tuple[str, Victim]]:
    """Yield each end with a victim on the node where it comes."""
    left = list(victims)
    for end in ends:
        chosen = next(each for each in left if each.node == NODE_OF[end])
        left.remove(chosen)
        yield end, chosen


def hit(farm: Farm, end: str, victim: Victim) -> None:
    """End a batch job, or have it ended; a node dies at once for all of its batch jobs."""
    command = farm.cluster.command
    if end == "scancel":
        command("scancel", victim.batch_job)
    elif end == "SIGKILL":
        command("scancel", "--signal=KILL", "--full", victim.batch_job)
    elif end == "time limit":
        command("scontrol", "update", f"JobId={victim.batch_job}", "TimeLimit=1")
    elif end == "preemption":
        wanted = (f"--nodelist={victim.node}", "--exclusive", "--partition=urgent", "--output=/dev/null")
        command("sbatch", *wanted, "--wrap=sleep 5")


def outcome(attempt: AttemptRow) -> tuple[str, str, str]:
    return attempt.state, attempt.cause, attempt.code
