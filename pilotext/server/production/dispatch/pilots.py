"""Jobs that PanDA pilots have: their heartbeats and their last words.

A pilot's last word decides nothing: the wrapper's report does, which may come a moment later. Without one, the job is
decided on when the time for it is over, by what the wrapper left for the pilot or else by the pilot's own code.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from pilotext.api.schemas.attempts import OUTPUTS_KEPT, Heartbeat
from pilotext.server.database import transact
from pilotext.server.production.dispatch.leases import renew
from pilotext.server.production.models import Attempt, AttemptReport, Verification
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.pilot_verdict import PilotSaid
from pilotext.server.production.states import ACTIVE_ATTEMPT, ATTEMPT, AttemptState
from pilotext.server.production.transitions import Reason, record
from pilotext.server.settings import REPORT_GRACE_S
from pilotext.server.times import EPOCH, later, now


@dataclass(frozen=True)
class Standing:
    """The state of an attempt, and its number among those of its job."""

    state: AttemptState
    number: int


def standings_of(attempt_ids: Collection[int], pilot: str) -> dict[int, Standing]:
    """Return the state and number of those of these attempts that this pilot's token has."""
    rows = Attempt.objects.filter(pk__in=attempt_ids, pilot=pilot) if pilot else Attempt.objects.none()
    return {
        pk: Standing(AttemptState(state), number) for pk, state, number in rows.values_list("pk", "state", "number")
    }


def pilots_attempt(attempt_id: int, pilot: str) -> Attempt:
    """The attempt, locked, that this pilot's token has. RefusalError does not tell another's from a missing one."""
    rows = Attempt.objects.select_for_update(of=("self",)).select_related("job", "task__experiment", "site")
    attempt = rows.filter(pk=attempt_id, pilot=pilot).first() if pilot else None
    if attempt is None:
        raise RefusalError("forbidden", "this pilot has no such job.")
    return attempt


def hear(attempt_id: int, pilot: str, beat: Heartbeat) -> str:
    """A pilot's heartbeat; returns why it is to end the job, empty if it is to go on.

    One that comes after the pilot's last word changes nothing: a pilot repeats a heartbeat that was not answered,
    minutes later and beside what else it says.
    """
    return transact(lambda: _hear(attempt_id, pilot, beat))


def _hear(attempt_id: int, pilot: str, beat: Heartbeat) -> str:
    attempt = pilots_attempt(attempt_id, pilot)
    reported = (AttemptState.VERIFYING, AttemptState.FINISHED, AttemptState.FAILED)
    if attempt.pilot_said or attempt.state in reported:  # the report comes before the pilot has seen the end
        return ""
    if attempt.phase == OUTPUTS_KEPT:  # the wrapper's word, which it gives once; a pilot knows nothing of it
        beat = msgspec.structs.replace(beat, phase=OUTPUTS_KEPT)
    answer = renew(attempt, beat)
    return answer.why if answer.command == "stop" else ""


def hear_last(attempt_id: int, pilot: str, said: PilotSaid) -> None:
    """Keep a pilot's last word; the same one again changes nothing.

    Its report is waited for a short time only, but for an attempt whose outputs are kept on the node.
    """
    transact(lambda: _hear_last(attempt_id, pilot, said))


def _hear_last(attempt_id: int, pilot: str, said: PilotSaid) -> None:
    attempt = pilots_attempt(attempt_id, pilot)
    if attempt.pilot_said:
        return
    at = now()
    changes: dict[str, Any] = {"pilot_said": msgspec.to_builtins(said), "seen": at}
    reported = AttemptReport.objects.filter(pk=attempt.pk).exists()
    if not reported and attempt.state in ACTIVE_ATTEMPT and attempt.phase != OUTPUTS_KEPT:
        changes["lease_until"] = min(attempt.lease_until, later(at, REPORT_GRACE_S))
    Attempt.objects.filter(pk=attempt.pk).update(**changes)
    if reported:
        Verification.objects.filter(pk=attempt.pk).update(busy_until=EPOCH)  # it was waited for
    words = f"the pilot says {said.state} {said.pilot_code or ''}".rstrip()
    why = f"{words}; {'its report is here' if reported else 'its report is waited for'}"
    record(
        ATTEMPT.name,
        attempt.state,
        Reason(f"pilot:{pilot}", why, "attempt"),
        [(attempt.pk, attempt.state, attempt.task_id)],
        at,
    )
