"""Reported successes: each published file is compared with its report before the job is finished.

A report may have been written by the payload, or a storage may have lost what it took. The server looks itself, and
believes what it sees: each file is there with the size and adler32 of the report. A storage server that is away makes
the job wait, for as long as that lasts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from pilotext.decode import from_json, from_plain
from pilotext.errors import ChecksumError, StorageError, UsageError
from pilotext.model import Report
from pilotext.server.database import transact
from pilotext.server.production import storing
from pilotext.server.production.acceptance import believe, claimed_files, refuse
from pilotext.server.production.advance import Reason, advance_one
from pilotext.server.production.claims import claims, wait_after
from pilotext.server.production.models import Attempt, Verification
from pilotext.server.production.models.common import now
from pilotext.server.production.pilot_verdict import PilotSaid
from pilotext.server.production.states import ATTEMPT
from pilotext.storage.transfer import Mover
from pilotext.storage.urls import server_of

AT_ONCE = 100
FIRST_WAIT_S = 30.0
MAX_WAIT_S = 600.0
MAX_TRIES = 10
"""So often a server may refuse to show a file before somebody has to look; one that is away is waited for."""

_WHO = "verification"


@dataclass(frozen=True)
class Doubt:
    """A finding of the server's against a reported success, and its text."""

    finding: str
    text: str


def verify_outputs() -> int:
    """Compare the published files of reported successes; returns how many attempts were settled."""
    done = 0
    for claim in claims(Verification.objects.all(), AT_ONCE):
        with storing.moving(claim.renew) as mover:
            look = _Look(mover)
            done += sum(look.at(attempt) for attempt in claim.ids)
    return done


@dataclass
class _Look:
    """One pass over attempts: a storage server that did not answer once is not asked again in it."""

    mover: Mover
    away: dict[str, StorageError] = field(default_factory=dict)

    def at(self, attempt_id: int) -> int:
        rows = Attempt.objects.select_related("job", "task__experiment", "site", "evidence", "verification")
        attempt = rows.get(pk=attempt_id)
        report = from_json(attempt.evidence.report, Report)
        try:
            doubt = _contradicted(attempt) or self._compare(attempt, report)
        except StorageError as error:
            return self._put_off(attempt, error)
        return transact(partial(_settle, attempt_id, report, doubt))

    def _compare(self, attempt: Attempt, report: Report) -> Doubt | None:
        """Compare all files of the job. Raises StorageError where one could not be looked at."""
        try:
            files = claimed_files(attempt, report)
        except UsageError as error:
            return Doubt("output-not-compared", f"the profile cannot make this job any more: {error}")
        for file in files:
            server = server_of(file.url)
            if server in self.away:
                raise self.away[server]
            try:
                if not storing.is_there(file, self.mover):
                    return Doubt("output-not-published", f"{file.url} is not there")
            except ChecksumError as error:
                return Doubt("output-is-another", str(error))
            except StorageError as error:
                if error.retryable:
                    self.away[server] = error
                raise
        return None

    def _put_off(self, attempt: Attempt, error: StorageError) -> int:
        row = attempt.verification
        tries = row.tries + (not error.retryable)
        if tries >= MAX_TRIES:
            doubt = Doubt("output-not-compared", f"tried {tries} times: {error}")
            report = from_json(attempt.evidence.report, Report)
            return transact(partial(_settle, attempt.pk, report, doubt))
        wait_s = min(wait_after(tries + 1, FIRST_WAIT_S), MAX_WAIT_S)
        changes = {"finding": str(error), "tries": tries, "busy_until": now() + wait_s}
        transact(lambda: Verification.objects.filter(pk=row.pk).update(**changes))
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
    if attempt.state != "verifying":
        return 0
    if attempt.job.state != "verifying":
        reason = Reason(_WHO, f"its job is {attempt.job.state} meanwhile", "attempt")
        return int(advance_one(ATTEMPT, attempt, ("verifying",), "cancelled", reason))
    if doubt is not None:
        refuse(attempt, doubt.finding, doubt.text)
        return 1
    reason = Reason(_WHO, "its published files are there, by size and checksum", "attempt")
    advance_one(ATTEMPT, attempt, ("verifying",), "finished", reason)
    believe(attempt, report)
    return 1
