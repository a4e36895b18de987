"""Every way a payload fails, really done by the stand-in: the verdict, its evidence, and nothing published."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from _pytest.mark import ParameterSet

from tests.end_to_end.conftest import MDST, Grid
from tests.support.processes import processes_below


@dataclass(frozen=True)
class Failure:
    """A mode of the stand-in, and the verdict it must end with."""

    mode: str
    code: int
    cause: str
    action: str
    status: int
    quote: str
    limits: dict[str, float] = field(default_factory=dict)


OUT_OF_TIME: dict[str, float] = {"wall_s": 60, "finish_s": 45}
"""There is time to bring the log away afterwards, also on a busy machine."""

FAILURES = [
    Failure("fatal", 1235, "fatal-error", "manual-check", 66, "A FATAL was asked for."),
    Failure("fatal-geometry", 1260, "software-setup", "retry-elsewhere", 66, "No files w/ syntax"),
    Failure("abort", 1239, "crash", "retry", 66, "SIGABRT"),
    Failure("abort-core", 1236, "crash", "manual-check", 66, "core dumped"),
    Failure("segv", 2020, "crash", "retry", 66, "SIGSEGV"),
    Failure("memory", 5101, "memory", "retry-more-memory", 69, "MB of memory, the limit is 600", {"memory_mb": 600}),
    Failure("tlattice", 1241, "memory", "retry-more-memory", 66, "Cannot Allocate"),
    Failure("no-end-of-job", 1240, "incomplete", "retry", 66, "End of Job"),
    Failure("exception", 1244, "conditions-db", "retry", 66, "can't connect to CDB database"),
    Failure("no-event", 1237, "input-corrupt", "manual-check", 66, "DaqEventsManager::GetEvent(): no event"),
    Failure("abnormal", 1238, "unhandled-exception", "retry", 66, "Abnormal job termination"),
    Failure("truncated-mdst", 4004, "output-invalid", "retry", 67, MDST),
    Failure("few-events", 4006, "incomplete", "manual-check", 67, "raw_events"),
    Failure("hang", 5105, "limit", "retry", 69, "s without progress, the limit is 2", {"stall_s": 2}),
    Failure("ignore-term", 5105, "limit", "retry", 69, "s without progress", {"stall_s": 2}),
    Failure("spin", 5103, "limit", "manual-check", 69, "s of CPU time, the limit is 2", {"cpu_s": 2}),
    Failure("hang", 5102, "limit", "retry-elsewhere", 69, "of the 60 s of wall time that its job has", OUT_OF_TIME),
    Failure("killed-shell", 1246, "killed", "retry", 69, "Killed"),
]


def in_the_matrix(failure: Failure) -> ParameterSet:
    phase = "validate" if failure.status == 67 else "payload"
    limits = " ".join(failure.limits)
    name = f"{failure.mode} {limits}".strip()
    return pytest.param(failure, id=f"{failure.mode}-{failure.code}", marks=pytest.mark.fault(phase, name))


@pytest.mark.parametrize("failure", [in_the_matrix(failure) for failure in FAILURES])
def test_a_failure_ends_with_the_right_verdict_and_nothing_published(grid: Grid, failure: Failure) -> None:
    """Known problem 1 of the legacy system: CORAL ends with status 0 whatever happened, and so did the job."""
    grid.job["environment"]["PILOTEXT_STANDIN"] = failure.mode
    grid.job["limits"] |= failure.limits
    ended = grid.run()
    verdict = ended.report.verdict
    assert (verdict.code, verdict.number) == (f"COMPASS-{failure.code}", 580000 + failure.code)
    assert (verdict.verdict, verdict.cause, verdict.action) == ("failure", failure.cause, failure.action)
    assert failure.quote in verdict.evidence[0].text
    assert (ended.status, ended.report.exit_status, ended.report.state) == (failure.status, failure.status, "failed")
    assert set(grid.published()) == {"job.log.tgz"}
    assert processes_below(grid.workdir) == []
    assert failure.quote in ended.stdout
