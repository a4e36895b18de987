"""Tickets in the job parameters of a pilot, by which its wrapper gets the job.

Job parameters are short, and stand in logs and in the list of processes. So they hold no token of the attempt, but a
ticket that fetches the job with its token: once, soon after the job was given out. The wrapper makes up a word for it,
its claim, which stands nowhere but in its memory; should the answer be cut, the ticket is good again for a moment
together with that. A token that was fetched before is then worth nothing.
"""

from __future__ import annotations

from django.conf import settings

from pilotext.errors import UsageError
from pilotext.model.job import Job, ReportTarget
from pilotext.server.database import transact
from pilotext.server.production.access.tokens import fingerprint, make_token, same
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.expected_files import kept_text
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.models import Attempt
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, AttemptState, TaskState
from pilotext.server.production.transitions import Reason, record
from pilotext.server.times import earlier, now

GOOD_FOR_S = 900.0
"""After the job was given out; a pilot fetches it within a minute or two."""

AGAIN_WITHIN_S = 300.0
"""After the first time; the wrapper's tries end before."""


def hand_over(lease: Lease, pilot: str) -> str:
    """Make this lease the pilot's, whose token has the label `pilot`; returns the address with the ticket."""
    ticket = make_token()
    mine = {"pilot": pilot, "ticket": fingerprint(ticket), "token": fingerprint(make_token())}
    transact(lambda: _hand_over(lease.attempt, mine))
    return f"{settings.PUBLIC_URL}/api/v1/attempts/{lease.attempt}/job?ticket={ticket}"


def _hand_over(attempt_id: int, mine: dict[str, str]) -> None:
    rows = Attempt.objects.filter(pk=attempt_id)
    rows.update(**mine)
    reason = Reason(f"pilot:{mine['pilot']}", "given to a pilot, with a ticket for its job", "attempt")
    record(ATTEMPT.name, AttemptState.LEASED, reason, rows.values_list("pk", "state", "task_id"))


def fetch_job(attempt_id: int, ticket: str, claim: str = "") -> Job:
    """Return the job of an attempt, with the token for its report. Raises RefusalError for an invalid ticket.

    Who gives a claim may ask again with the same one; without, the ticket is used up at once.
    """
    return transact(lambda: _fetch(attempt_id, ticket, claim))


def _fetch(attempt_id: int, ticket: str, claim: str) -> Job:
    rows = Attempt.objects.select_for_update(of=("self",)).select_related("job", "task__experiment")
    attempt = rows.filter(pk=attempt_id).exclude(ticket="").first()
    claimed = f"{ticket}\n{claim}"
    if attempt is None or not same(ticket if attempt.fetched is None else claimed, attempt.ticket):
        raise RefusalError("forbidden", "this ticket does not belong to that attempt, or is used up.")
    at = now()
    used_up = attempt.fetched is not None and attempt.fetched < earlier(at, AGAIN_WITHIN_S)
    # One that waits in PanDA's queue is good as long as PanDA is heard to have it.
    expired = attempt.panda_task is None and attempt.leased < earlier(at, GOOD_FOR_S)
    if used_up or expired:
        raise RefusalError("forbidden", "this ticket is used up.")
    if attempt.state not in ACTIVE_ATTEMPT or attempt.stop:
        raise RefusalError("conflict", f"this attempt is {attempt.stop or attempt.state}.")
    if attempt.task.state == TaskState.CANCELLED:  # the cycle is about to cancel its jobs
        raise RefusalError("conflict", f"the task of this job, {attempt.task.name}, was cancelled.")
    token = make_token()
    target = ReportTarget(f"{settings.PUBLIC_URL}/api/v1/attempts/{attempt.pk}/report", token)
    try:
        job = build_job(attempt.task, attempt.job, attempt.number, target, attempt.pk)
    except UsageError as error:
        raise RefusalError("conflict", str(error)) from None
    Attempt.objects.filter(pk=attempt.pk).update(
        token=fingerprint(token),
        fetched=attempt.fetched or at,
        ticket=fingerprint(claimed) if claim else "",
        expected_files=kept_text(job),
    )
    reason = Reason(f"pilot:{attempt.pilot}", "its job was fetched" + (" again" if attempt.fetched else ""), "attempt")
    record(ATTEMPT.name, attempt.state, reason, [(attempt.pk, attempt.state, attempt.task_id)], at)
    return job
