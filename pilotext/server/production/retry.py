"""Retry: the decision after a failed attempt, a pure function over the profile's retry rules, and its application."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.model import Record
from pilotext.profile.records import Retry, RetryRule
from pilotext.server.production.dispatch.placement import another_place_exists, avoid_places, of_site
from pilotext.server.production.models import Attempt, Breaker, Job
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import FAILED_ATTEMPT, JOB, Actor, JobState
from pilotext.server.production.transitions import Reason, advance
from pilotext.server.times import EPOCH, FOREVER, later, now

Fault = tuple[str, str]
"""Cause and action of a failed attempt; the cause `lost` is an attempt whose worker was heard of no more."""


class History(Record, frozen=True):
    """The earlier failures of a job, this attempt not counted."""

    charged: int
    max_attempts: int
    faults: tuple[Fault, ...] = ()
    sites: tuple[str, ...] = ()
    """Site of each of the faults."""
    memory_mb: float | None = None


class Decision(Record, frozen=True):
    """The job's next state; `ready` and `defined` after `wait_s` seconds.

    For `avoid_s` it does not go to the same node, or to the same site either, where `avoid` names them.
    """

    state: JobState
    why: str
    charged: bool
    wait_s: float = 0.0
    memory_mb: float | None = None
    avoid: tuple[Literal["node", "site"], ...] = ()
    avoid_s: float = 0.0


def decide(retry: Retry, fault: Fault, history: History, *, site: str = "", chance: float) -> Decision:
    """Decide on a failure at a site; `chance` from 0 to 1 spreads the waits of jobs that failed together."""
    rule = rule_for(retry.rules, fault)
    cause, action = fault
    what = f"{cause or 'no cause'}, {action or 'no action'}"
    if rule is None or rule.then == "manual":
        return Decision(JobState.MANUAL, f"{what}: a person has to decide", charged=True)
    if rule.then == "fail":
        return Decision(JobState.FAILED, f"{what}: another attempt would not help", charged=True)
    charged = history.charged + rule.charged
    alike = [rule_for(retry.rules, earlier) is rule for earlier in history.faults]
    same = sum(alike) + 1
    end = JobState(rule.exhausted)
    if charged >= history.max_attempts and rule.charged:
        of = counted_words(history.max_attempts, "attempt", "is")
        return Decision(end, f"{what}: {charged} of {of} used up", charged=True)
    if rule.tries is not None and same >= rule.tries:
        return Decision(end, f"{what}: it came {counted_words(same, 'time')}", charged=rule.charged)
    wait = min(rule.wait_s * rule.factor ** (same - 1), rule.most_s) * (1 + rule.jitter * (2 * chance - 1))
    memory = history.memory_mb
    if rule.then == "more-memory":
        if memory is not None and memory >= rule.memory_most_mb:
            return Decision(end, f"{what}: it had {memory:g} MB, the most there is", charged=rule.charged)
        memory = None if memory is None else min(memory * rule.memory_factor, rule.memory_most_mb)
    return Decision(
        state=JobState.DEFINED if rule.then == "restage" else JobState.READY,
        why=f"{what}: {rule.then}, failure {same} of its class, {'' if rule.charged else 'not '}charged",
        charged=rule.charged,
        wait_s=wait,
        memory_mb=memory,
        avoid=_avoided(rule, 1 + sum(here for here, at in zip(alike, history.sites, strict=False) if at == site)),
        avoid_s=rule.avoid_s,
    )


def _avoided(rule: RetryRule, times_here: int) -> tuple[Literal["node", "site"], ...]:
    if rule.then != "elsewhere":
        return ()
    return ("node", "site") if times_here >= rule.site_after else ("node",)


def rule_for(rules: Sequence[RetryRule], fault: Fault) -> RetryRule | None:
    """The first rule whose conditions fit."""
    cause, action = fault
    for rule in rules:
        if (not rule.cause or cause in rule.cause) and (not rule.action or action in rule.action):
            return rule
    return None


HELD = (JobState.SENT, JobState.RUNNING, JobState.READY, JobState.VERIFYING)
"""States of a job whose attempt decides what becomes of it."""

TO_BE_GIVEN_OUT = (JobState.DEFINED, JobState.STAGING, JobState.READY)
"""States of a job that nobody else was given yet, while an attempt of it may still be at work."""

_chance = random.SystemRandom()


def follow_failure(
    attempt: Attempt,
    fault: Fault,
    why: str,
    *,
    states: tuple[str, ...] = HELD,
    actor: Actor = "attempt",
    **changes: object,
) -> Decision | None:
    """Decide on a failed attempt and move its job; in a transaction. None when the job was decided on by somebody else.

    `attempt` comes with its job, task, experiment and site. A probe of a breaker is not charged. What an earlier
    decision on the same attempt charged is not charged twice. One that was asked to stop says nothing about its job,
    which goes on if it was sent again; but for one whose reported success is being compared, which has the job back.
    `states` are those that the job may be in.
    """
    job = attempt.job
    if attempt.stop and job.state != JobState.VERIFYING:
        why = f"attempt {attempt.number} has ended before the job was cancelled: {attempt.stop}"
        mine = Job.objects.filter(pk=job.pk)
        if attempt.number == job.attempts:
            advance(JOB, mine, (JobState.SENT, JobState.RUNNING), JobState.READY, Reason("policy", why, actor))
        Job.objects.filter(pk=job.pk, state__in=TO_BE_GIVEN_OUT).update(not_before=EPOCH)
        return None
    decision = decide_on(attempt, fault)
    at = now()
    charged = decision.charged and not Breaker.objects.filter(probe=attempt.pk).exists()
    state = _after(decision, attempt)
    moved = advance(
        JOB,
        Job.objects.filter(pk=job.pk),
        [source for source in states if source != state],
        state,
        Reason("policy", f"attempt {attempt.number}: {decision.why}", actor),
        **{
            "not_before": later(at, decision.wait_s),
            "charged": job.charged + charged - attempt.charged,
            "memory_mb": decision.memory_mb,
            "cause": fault[0],
            "diag": why,
            **changes,
        },
    )
    if moved:
        avoid_places(job.pk, _places_to_avoid(attempt, decision, at), at)
    text = f"{state}: {decision.why}" if moved else "the job had been decided on"
    Attempt.objects.filter(pk=attempt.pk).update(charged=bool(moved) and charged, decision=text)
    return decision if moved else None


def _after(decision: Decision, attempt: Attempt) -> JobState:
    """Return the state that a decision leads to: `defined` only where files come from tape.

    The file of a job that was sent again while this attempt ran may have been given back to the tape system since.
    """
    from_tape = attempt.task.staging and not attempt.job.product
    if decision.state == JobState.READY and attempt.stop and from_tape:
        return JobState.DEFINED
    return JobState.READY if decision.state == JobState.DEFINED and not attempt.task.staging else decision.state


def decide_on(attempt: Attempt, fault: Fault) -> Decision:
    """Return the decision of the experiment's policy on a failed attempt; nothing is moved.

    A job that the profile does not know (any more) waits for somebody.
    """
    try:
        experiment, history = profile_of(attempt.task.experiment.name), _history(attempt)
        retry = experiment.retry.for_job(experiment.type(attempt.job.type).kind, attempt.job.type)
    except UsageError as error:
        return Decision(JobState.MANUAL, f"its profile has nothing to decide by: {error}", charged=False)
    return decide(retry, fault, history, site=attempt.site.name, chance=_chance.random())


def _places_to_avoid(attempt: Attempt, decision: Decision, at: datetime) -> dict[str, datetime]:
    places = {}
    if "node" in decision.avoid and attempt.node:
        places[attempt.node] = later(at, decision.avoid_s)
    if "site" in decision.avoid and _another_site(attempt):
        places[of_site(attempt.site.name)] = later(at, decision.avoid_s)
    return places


def _another_site(attempt: Attempt) -> bool:
    """Whether somebody at another site is there to take the job."""
    here = {of_site(attempt.site.name): FOREVER}
    return attempt.job.site_id is None and another_place_exists(attempt.task, here)


def _history(attempt: Attempt) -> History:
    job = attempt.job
    earlier = job.tries.exclude(pk=attempt.pk).filter(state__in=FAILED_ATTEMPT, number__gt=job.since)
    rows = list(earlier.order_by("number").values_list("state", "cause", "action", "site__name"))
    faults = tuple(
        ("lost", "") if state == "lost" and not cause else (cause, action) for state, cause, action, _ in rows
    )
    limits = profile_of(attempt.task.experiment.name).type(attempt.job.type).limits
    return History(
        charged=job.charged - attempt.charged,
        max_attempts=attempt.task.max_attempts,
        faults=faults,
        sites=tuple(site for *_, site in rows),
        memory_mb=job.memory_mb or limits.memory_mb,
    )
