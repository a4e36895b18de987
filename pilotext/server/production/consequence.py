"""What a failed attempt means for its job: the policy's decision, carried out."""

from __future__ import annotations

import random

from pilotext.server.production.advance import Reason, advance
from pilotext.server.production.models import Attempt, Job
from pilotext.server.production.models.common import now
from pilotext.server.production.policy import Decision, Fault, History, decide
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import JOB

AVOID_S = 6 * 3600.0
"""So long a node where a job failed does not get it again; it is not for ever, since it may be the only one."""

_chance = random.SystemRandom()


def follow_failure(attempt: Attempt, fault: Fault, why: str, **changes: object) -> Decision | None:
    """Decide on a failed attempt and move its job; in a transaction. None when the job was decided on by somebody else.

    `attempt` comes with its job, task and experiment.
    """
    job = attempt.job
    profile = profile_of(attempt.task.experiment.name)
    decision = decide(profile.retry, fault, _history(attempt), chance=_chance.random())
    at = now()
    avoid = {place: until for place, until in job.avoid.items() if until > at}
    if decision.avoid and attempt.node:
        avoid[attempt.node] = at + AVOID_S
    state = "ready" if decision.state == "defined" and not attempt.task.staging else decision.state
    moved = advance(
        JOB,
        Job.objects.filter(pk=job.pk, state__in=("sent", "running", "ready")),
        state,
        Reason("policy", f"attempt {attempt.number}: {decision.why}"),
        **{
            "not_before": at + decision.wait_s,
            "charged": job.charged + decision.charged,
            "memory_mb": decision.memory_mb,
            "avoid": avoid,
            "cause": fault[0],
            "diag": why,
            **changes,
        },
    )
    text = f"{state}: {decision.why}" if moved else "the job had been decided on"
    Attempt.objects.filter(pk=attempt.pk).update(charged=bool(moved) and decision.charged, decision=text)
    return decision if moved else None


def _history(attempt: Attempt) -> History:
    earlier = attempt.job.tries.exclude(pk=attempt.pk).filter(state__in=("failed", "lost")).order_by("number")
    faults = tuple(
        ("lost", "") if state == "lost" and not cause else (cause, action)
        for state, cause, action in earlier.values_list("state", "cause", "action")
    )
    limits = profile_of(attempt.task.experiment.name).type(attempt.job.type).limits
    return History(
        charged=attempt.job.charged,
        max_attempts=attempt.task.max_attempts,
        faults=faults,
        memory_mb=attempt.job.memory_mb or limits.memory_mb,
    )
