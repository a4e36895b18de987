"""Reported successes: each published file is compared with its report before the job is finished.

A report may have been written by the payload, or a storage may have lost what it took. The server looks itself, and
believes what it sees: each file is there with the size and adler32 of the report. A storage server that is away makes
the job wait, for as long as that lasts.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial

from pilotext.errors import ChecksumError, StorageError, UsageError
from pilotext.formatting import counted_words
from pilotext.model.report import Report
from pilotext.serialization.json import from_json, from_plain
from pilotext.server.database import transact
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.models import Attempt, Verification
from pilotext.server.production.reports.pilot_verdict import PilotSaid
from pilotext.server.production.reports.success import believe, claimed_files, refuse
from pilotext.server.production.row_leases import RowLease, lease_rows
from pilotext.server.production.states import ATTEMPT, AttemptState, JobState
from pilotext.server.production.storage import operations
from pilotext.server.production.storage.breakers import GuardedMover, ServerAwayError
from pilotext.server.production.submission.succession import own_published
from pilotext.server.production.transitions import Reason, advance_one
from pilotext.server.times import later, now
from pilotext.storage.transfer import Mover

AT_ONCE = 100
_WHO = "verification"


@dataclass(frozen=True)
class Doubt:
    """A finding of the server's against a reported success, and its text."""

    finding: str
    text: str


def verify_outputs() -> int:
    """Compare the published files of reported successes; returns how many attempts were settled."""
    return collect_failures(lease_rows(Verification.objects.all(), AT_ONCE), _verify_some)


def _verify_some(lease: RowLease[Verification]) -> int:
    with closing(operations.open_mover(lease.renew)) as mover:
        return collect_failures(lease.ids, partial(_verify, mover=mover))


def _verify(attempt_id: int, mover: Mover) -> int:
    rows = Attempt.objects.select_related("job", "task__experiment", "site", "final_report", "verification")
    attempt = rows.get(pk=attempt_id)
    report = from_json(attempt.final_report.report, Report)
    try:
        doubt = _contradicted(attempt) or _compare(attempt, report, GuardedMover(mover, attempt.task.experiment_id))
    except ServerAwayError as error:
        return _put_off(attempt, str(error), error.wait_s, attempt.verification.tries)
    except StorageError as error:
        tries = attempt.verification.tries + 1
        wait_s = operations.next_try(error, tries)
        if wait_s is not None:
            return _put_off(attempt, str(error), wait_s, tries)
        doubt = Doubt("output-not-compared", f"tried {counted_words(tries, 'time')}: {error}")
    return transact(partial(_settle, attempt_id, report, doubt))


def _compare(attempt: Attempt, report: Report, mover: Mover) -> Doubt | None:
    """Compare all files of the job. Raises StorageError where one could not be looked at."""
    try:
        files = claimed_files(attempt, report)
    except UsageError as error:
        return Doubt("output-not-compared", f"the profile cannot make this job any more: {error}")
    for file in files:
        try:
            if not operations.is_there(file, mover):
                return Doubt("output-not-published", f"{file.url} is not there")
        except ChecksumError as error:
            return Doubt("output-is-another", str(error))
    return None


def _put_off(attempt: Attempt, finding: str, wait_s: float, tries: int) -> int:
    changes = {"finding": finding, "tries": tries, "busy_until": later(now(), wait_s)}
    transact(lambda: Verification.objects.filter(pk=attempt.pk).update(**changes))
    return 0


def _contradicted(attempt: Attempt) -> Doubt | None:
    """The wrapper's exit status as its pilot saw it has to be that of a success."""
    if not attempt.pilot_said:
        return None
    said = from_plain(attempt.pilot_said, PilotSaid)
    if said.payload_status == 0:
        return None
    return Doubt("report-contradicted", f"it reports success, and the pilot says that it ended {said.payload_status}")


def _settle(attempt_id: int, report: Report, doubt: Doubt | None) -> int:
    attempt = (
        Attempt.objects.select_for_update(of=("self", "job"))
        .select_related("job", "task__experiment", "site")
        .get(pk=attempt_id)
    )
    Verification.objects.filter(pk=attempt_id).delete()
    if attempt.state != AttemptState.VERIFYING:
        return 0
    if attempt.job.state != JobState.VERIFYING or attempt.number != attempt.job.attempts:
        reason = Reason(_WHO, f"its job is {attempt.job.state} meanwhile, in attempt {attempt.job.attempts}", "attempt")
        return int(advance_one(ATTEMPT, attempt, (AttemptState.VERIFYING,), AttemptState.CANCELLED, reason))
    if doubt is not None:
        refuse(attempt, doubt.finding, doubt.text)
        return 1
    reason = Reason(_WHO, "its published files are there, by size and checksum", "attempt")
    advance_one(ATTEMPT, attempt, (AttemptState.VERIFYING,), AttemptState.FINISHED, reason)
    believe(attempt, report)
    own_published(attempt.job, (file.url for file in claimed_files(attempt, report)))
    return 1
