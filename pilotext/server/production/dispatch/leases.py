"""An attempt's life between being given out and its report: heartbeats, and what happens when they stay away."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F

from pilotext.api.schemas.attempts import QUEUED_IN_PANDA, Heartbeat, HeartbeatAnswer
from pilotext.serialization.json import from_plain
from pilotext.server.database import transact
from pilotext.server.production.access.tokens import same
from pilotext.server.production.models import Attempt, Job, MergeGroup
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.pilot_verdict import (
    PilotSaid,
    verdict_of_batch_end,
    verdict_without_report,
)
from pilotext.server.production.retry import TO_BE_GIVEN_OUT, follow_failure
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, JOB, AttemptState, JobState, TaskState
from pilotext.server.production.transitions import Reason, advance, advance_one, record
from pilotext.server.rows import ById, change
from pilotext.server.settings import LEASE_S
from pilotext.server.times import later, now, to_seconds

AT_ONCE = 200
"""Expired leases in one transaction: the web must get its turn between."""

HEARTBEAT_S = min(LEASE_S / 4, 300.0)
"""Time between two heartbeats of an agent's attempt."""

_KNOWN_COUNTERS = 50


_ALONG = ("job", "task", "task__experiment", "site")
_ATTEMPT = ById(Attempt, *_ALONG, without=("task__document",))
_LOCKED = ById(Attempt, *_ALONG, without=("task__document",), lock=("", "job"))


def attempt_of(attempt_id: int, token: str, *, lock: bool = False) -> Attempt:
    """The attempt that this token belongs to. RefusalError does not tell a wrong token from a missing attempt."""
    attempt = (_LOCKED if lock else _ATTEMPT).get(attempt_id)
    if attempt is None or not same(token, attempt.token):
        raise RefusalError("forbidden", "this token does not belong to that attempt.")
    return attempt


def heartbeat(attempt_id: int, token: str, beat: Heartbeat) -> HeartbeatAnswer:
    """Renew the lease of an attempt that is alive, and tell it whether to go on."""
    return transact(lambda: renew(attempt_of(attempt_id, token, lock=True), beat))


def renew(attempt: Attempt, beat: Heartbeat) -> HeartbeatAnswer:
    """The same for an attempt that is locked, whoever speaks for it."""
    at = now()
    if attempt.state == AttemptState.LOST:
        _revive(attempt)
    if attempt.state not in ACTIVE_ATTEMPT:
        return HeartbeatAnswer("stop", to_seconds(attempt.lease_until), f"this attempt is {attempt.state}")
    until = later(at, attempt.lease_s)
    changes: dict[str, Any] = {"seen": at, "lease_until": until, "phase": beat.phase, "node": beat.node or attempt.node}
    if not attempt.stop and (why := _why_unwanted(attempt)):
        attempt.stop = changes["stop"] = why
    if attempt.batch_end:  # it lives, whatever the batch system says
        changes["batch_end"] = ""
    if beat.progress:
        changes["progress"] = dict(list(beat.progress.items())[:_KNOWN_COUNTERS])
    if attempt.state == AttemptState.LEASED and beat.phase != QUEUED_IN_PANDA:
        changes["state"] = AttemptState.RUNNING
        if attempt.job.state == JobState.SENT:
            advance_one(
                JOB,
                attempt.job,
                (JobState.SENT,),
                JobState.RUNNING,
                Reason("dispatch", f"attempt {attempt.number} sent a heartbeat", "attempt"),
            )
        else:  # no line of its job tells it
            reason = Reason("dispatch", f"it sent a heartbeat while its job is {attempt.job.state}", "attempt")
            record(ATTEMPT.name, AttemptState.RUNNING, reason, [(attempt.pk, attempt.state, attempt.task_id)], at)
    change(Attempt, attempt.pk, {}, **changes)
    if attempt.stop:
        return HeartbeatAnswer("stop", to_seconds(until), attempt.stop)
    return HeartbeatAnswer("go-on", to_seconds(until))


def _why_unwanted(attempt: Attempt) -> str:
    """Return why the cycle is about to cancel the job of an attempt; empty where it goes on."""
    if attempt.task.state == TaskState.CANCELLED:
        return "its task was cancelled"
    merge = attempt.job_id if attempt.job.product else None
    if merge and MergeGroup.objects.filter(job=merge, round__lt=F("product__round")).exists():
        return "its run is merged again"
    return ""


def _revive(attempt: Attempt) -> None:
    """A lost attempt is heard of: it has its job back, unless somebody else was given it or it was decided on."""
    if attempt.number != attempt.job.attempts:
        return
    reason = Reason("dispatch", f"attempt {attempt.number}, considered lost, has reported again", "attempt")
    # A job that was not sent again since waits for a person only because its attempts were lost.
    waiting = TO_BE_GIVEN_OUT if attempt.job.since >= attempt.number else (*TO_BE_GIVEN_OUT, JobState.MANUAL)
    if advance(JOB, Job.objects.filter(pk=attempt.job_id), waiting, JobState.RUNNING, reason, assigned=""):
        advance(
            ATTEMPT,
            Attempt.objects.filter(pk=attempt.pk),
            (AttemptState.LOST,),
            AttemptState.RUNNING,
            reason,
            ended=None,
        )
        attempt.state = AttemptState.RUNNING


def expire_leases() -> int:
    """Attempts that were not heard of in time are lost, and their jobs go on by the rules for lost ones."""
    done = 0
    while moved := transact(_expire_some):
        done += moved
    return done


def _expire_some() -> int:
    at = now()
    expired = (
        Attempt.objects.active()
        .filter(lease_until__lt=at)
        .select_for_update(of=("self",), skip_locked=True)
        .select_related("job", "task__experiment", "site")[:AT_ONCE]
    )
    rows = list(expired)
    for attempt in rows:
        _lose(attempt, at)
    return len(rows)


def _lose(attempt: Attempt, at: datetime) -> None:
    """Lost, not failed, also by the word of its pilot or of the batch system.

    A report that comes after all still counts until the job is sent.
    """
    row = Attempt.objects.filter(pk=attempt.pk)
    to = AttemptState.CANCELLED if attempt.stop or attempt.job.state == JobState.CANCELLED else AttemptState.LOST
    experiment = attempt.task.experiment.name
    said = from_plain(attempt.pilot_said, PilotSaid) if attempt.pilot_said else None
    verdict = verdict_without_report(said, experiment) if said else verdict_of_batch_end(attempt.batch_end, experiment)
    if verdict is None:
        why = f"no heartbeat of attempt {attempt.number} for {(at - attempt.seen).total_seconds():.0f} s"
        if attempt.batch_end:
            why = f"{why}, and the batch system says of its batch job: {attempt.batch_end}"
        advance(ATTEMPT, row, ACTIVE_ATTEMPT, to, Reason("dispatch", why, "attempt"), ended=at)
        follow_failure(attempt, ("lost", ""), why)
        return
    told = {"verdict": verdict.verdict, "code": verdict.code, "code_number": verdict.number, "cause": verdict.cause}
    told |= {"action": verdict.action, "rule": verdict.rule, "diag": verdict.diag}
    told |= {"exit_status": said.payload_status} if said else {}
    advance(
        ATTEMPT,
        row,
        ACTIVE_ATTEMPT,
        to,
        Reason("dispatch", f"no report came; {verdict.diag}", "attempt"),
        ended=at,
        **told,
    )
    fault = (verdict.cause or "", verdict.action or "")
    follow_failure(attempt, fault, verdict.diag, code=verdict.code or "")
