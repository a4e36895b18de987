"""How a pilot's wrapper gets its job: by a ticket that stands in the job parameters.

Job parameters are short, and stand in logs and in the list of processes. So they hold no token of the attempt, but a
ticket that fetches the job with its token: soon after the job was given out, and again for a moment, should the answer
be cut. A token that was fetched before is worth nothing after the ticket is used again.
"""

from __future__ import annotations

from django.conf import settings

from pilotext.errors import UsageError
from pilotext.model import Job, ReportTarget
from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, record
from pilotext.server.production.dispatch import Lease
from pilotext.server.production.expanded import expand
from pilotext.server.production.models import Attempt
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT
from pilotext.server.production.tokens import fingerprint, make_token, same

GOOD_FOR_S = 3600.0
"""After the job was given out; a pilot fetches it within minutes."""

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
    record(ATTEMPT.name, "leased", reason, rows.values_list("pk", "state", "task_id"))


def fetch_job(attempt_id: int, ticket: str) -> Job:
    """The job of an attempt, with the token for its report. Raises RefusalError for a ticket that is no good (more)."""
    return transact(lambda: _fetch(attempt_id, ticket))


def _fetch(attempt_id: int, ticket: str) -> Job:
    rows = Attempt.objects.select_for_update(of=("self",)).select_related("job", "task__experiment")
    attempt = rows.filter(pk=attempt_id).exclude(ticket="").first()
    if attempt is None or not same(ticket, attempt.ticket):
        raise RefusalError("forbidden", "this ticket does not belong to that attempt.")
    at = now()
    used_up = attempt.fetched is not None and attempt.fetched + AGAIN_WITHIN_S < at
    if used_up or attempt.leased + GOOD_FOR_S < at:
        raise RefusalError("forbidden", "this ticket is used up.")
    if attempt.state not in ACTIVE_ATTEMPT or attempt.stop:
        raise RefusalError("conflict", f"this attempt is {attempt.stop or attempt.state}.")
    token = make_token()
    target = ReportTarget(f"{settings.PUBLIC_URL}/api/v1/attempts/{attempt.pk}/report", token)
    try:
        job = expand(attempt.task, attempt.job, attempt.number, target, attempt.pk)
    except UsageError as error:
        raise RefusalError("conflict", str(error)) from None
    Attempt.objects.filter(pk=attempt.pk).update(token=fingerprint(token), fetched=attempt.fetched or at)
    reason = Reason(f"pilot:{attempt.pilot}", "its job was fetched" + (" again" if attempt.fetched else ""), "attempt")
    record(ATTEMPT.name, attempt.state, reason, [(attempt.pk, attempt.state, attempt.task_id)], at)
    return job
