"""Jobs that factories hand to a PanDA server: leases for them, and what PanDA says about them.

To the rest of the server such an attempt is that of a PanDA pilot; the factory sends its heartbeats and last word.
So PanDA's word decides nothing: the wrapper's report does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.conf import settings

from pilotext.api.schemas.attempts import QUEUED_IN_PANDA, Heartbeat
from pilotext.api.schemas.panda import (
    FINAL_STATES,
    QUEUED_STATES,
    HeldAttempt,
    PandaJob,
    PandaJobState,
    PandaRequest,
    PandaStates,
)
from pilotext.server.database import transact
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher, Lease
from pilotext.server.production.dispatch.pilots import hear, hear_last, pilots_attempt
from pilotext.server.production.dispatch.tickets import hand_over
from pilotext.server.production.models import Attempt, Site
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.pilot_verdict import PilotSaid
from pilotext.server.production.states import TaskState

NODE = ""
"""Node of an attempt before its wrapper reports: PanDA chooses it."""


def take_jobs(dispatcher: Dispatcher, site: Site, asked: PandaRequest, pilot: str) -> Iterator[PandaJob]:
    """Lease jobs of a site to a label of a factory, whose token has the label `pilot`, until no further one waits."""
    for _ in range(asked.jobs):
        lease = dispatcher.give(Asker(site, NODE), lease_s=settings.PILOT_LEASE_S)
        if lease is None:
            return
        address = hand_over(lease, pilot)
        Attempt.objects.filter(pk=lease.attempt).update(panda_task=0, key=asked.holder, phase=QUEUED_IN_PANDA)
        yield _described(lease, address)


def _described(lease: Lease, address: str) -> PandaJob:
    limits = lease.job.limits
    return PandaJob(lease.attempt, address, limits.memory_mb, limits.disk_mb)


def take_states(site: Site, said: PandaStates, pilot: str) -> list[HeldAttempt]:
    """Store what PanDA says, and return the attempts that the label holds, and those that it must kill."""
    unwanted = {state.attempt: _follow(state, pilot) for state in said.jobs}
    rows = Attempt.objects.active().filter(site=site, pilot=pilot, key=said.holder, panda_task__isnull=False)
    held = {row.pk: _held(row, unwanted.get(row.pk, "")) for row in rows.select_related("task").order_by("pk")}
    ended = {
        state.attempt: HeldAttempt(state.attempt, state.task, state.job, unwanted[state.attempt])
        for state in said.jobs
        if unwanted[state.attempt] and state.attempt not in held
    }
    return [*held.values(), *ended.values()]


def _held(row: Attempt, why: str) -> HeldAttempt:
    cancelled = "its task was cancelled" if row.task.state == TaskState.CANCELLED else ""
    return HeldAttempt(row.pk, row.panda_task or 0, row.panda_job, (why or row.stop or cancelled)[:2000])


def _follow(state: PandaJobState, pilot: str) -> str:
    """Take PanDA's word on an attempt; returns why PanDA is to kill its job, empty if it goes on or has ended."""
    transact(partial(_keep_numbers, state, pilot))
    if state.status in FINAL_STATES:
        hear_last(state.attempt, pilot, _last_word(state))
        return ""
    phase = QUEUED_IN_PANDA if state.status in QUEUED_STATES else f"{state.status} in PanDA"
    return hear(state.attempt, pilot, Heartbeat(phase))


def _keep_numbers(state: PandaJobState, pilot: str) -> None:
    """Store the numbers of PanDA. Raises RefusalError for an attempt that is not PanDA's, or another pilot's."""
    attempt = pilots_attempt(state.attempt, pilot)
    if attempt.panda_task is None:
        raise RefusalError("forbidden", "this pilot has no such job in PanDA.")
    if (attempt.panda_task, attempt.panda_job) != (state.task, state.job):
        Attempt.objects.filter(pk=attempt.pk).update(panda_task=state.task, panda_job=state.job or attempt.panda_job)


def _last_word(state: PandaJobState) -> PilotSaid:
    return PilotSaid(
        state=state.status,
        pilot_code=state.pilot_code,
        pilot_diag=state.pilot_diag,
        payload_status=state.payload_status,
        error_code=state.error_code,
        error_diag=state.error_diag,
    )
