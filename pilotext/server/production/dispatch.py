"""Giving jobs out: each at most once a lease, whoever asks and however many ask at once.

A short list of candidates for each site is kept in memory, so that most requests need no search. It is only a hint: a
job is taken by one conditional UPDATE, which the second one who wants it does not fulfil.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db.models import F

from pilotext.errors import UsageError
from pilotext.model import Job, ReportTarget
from pilotext.server.database import transact
from pilotext.server.production import models
from pilotext.server.production.advance import Reason, advance, record
from pilotext.server.production.choose import Candidate, candidates
from pilotext.server.production.expanded import expand
from pilotext.server.production.gates import Gate, GateShutError, gates_of, shut_out, try_gates
from pilotext.server.production.models.common import now
from pilotext.server.production.states import ACTIVE_ATTEMPT, JOB
from pilotext.server.production.tokens import fingerprint, make_token

FRESH_S = 1.0
AHEAD = 200


@dataclass(frozen=True)
class Asker:
    """Who asks for a job: a site's queue, one of its nodes, and the agent, if it is one of ours."""

    site: models.Site
    node: str
    agent: models.Agent | None = None

    @property
    def label(self) -> str:
        return self.agent.name if self.agent else f"pilot on {self.node or 'unknown node'}"


@dataclass(frozen=True)
class Lease:
    """A job given out. The token is here and nowhere else."""

    attempt: int
    token: str
    job: Job
    until: float
    lease_s: float


@dataclass
class _Ahead:
    found: float
    waiting: deque[Candidate]
    gates: tuple[Gate, ...]
    """Breakers that are open here; those that are due let one job through."""

    def gates_before(self, candidate: Candidate, node: str) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if gate.holds(candidate.type, node))


class Dispatcher:
    """Gives out jobs; one of these in a process."""

    def __init__(self) -> None:
        self._ahead: dict[int, _Ahead] = {}
        self._lock = threading.Lock()

    def give(self, asker: Asker, *, lease_s: float | None = None) -> Lease | None:
        """Lease the best job that the asker may have to it, or None when there is none now."""
        if asker.site.closed:
            return None
        passed_by: set[int] = set()
        while (found := self._next(asker, passed_by)) is not None:
            candidate, gates = found
            passed_by.add(candidate.job)
            try:
                lease = transact(partial(_claim, candidate.job, asker, lease_s or settings.LEASE_S, gates))
            except SiteFullError:
                return None
            except GateShutError:
                self.forget()
                continue
            except UsageError as error:
                _set_aside(candidate.job, error)
                continue
            if lease is not None:
                return lease
        return None

    def forget(self) -> None:
        """Look for candidates anew at the next request."""
        with self._lock:
            self._ahead.clear()

    def _next(self, asker: Asker, passed_by: set[int]) -> tuple[Candidate, tuple[Gate, ...]] | None:
        at = now()
        with self._lock:
            ahead = self._ahead.get(asker.site.pk)
            if ahead is None or (at - ahead.found > FRESH_S):
                ahead = self._ahead[asker.site.pk] = _look_ahead(asker.site, at)
            for index, candidate in enumerate(ahead.waiting):
                if candidate.job in passed_by or candidate.avoids(asker.node, at):
                    continue
                gates = ahead.gates_before(candidate, asker.node)
                if all(gate.due <= at for gate in gates):
                    del ahead.waiting[index]
                    return candidate, gates
        return None


def _look_ahead(site: models.Site, at: float) -> _Ahead:
    gates = gates_of(site)
    closed, types = shut_out(gates, at)
    found = () if closed else candidates(site, at, limit=AHEAD, without=types)
    return _Ahead(at, deque(found), gates)


class SiteFullError(Exception):
    """The site has as many attempts as it may have."""


def _claim(job_id: int, asker: Asker, lease_s: float, gates: tuple[Gate, ...]) -> Lease | None:
    at = now()
    _check_room(asker.site)
    taken = models.Job.objects.filter(pk=job_id, state="ready", not_before__lte=at, task__state="running").update(
        state="sent", attempts=F("attempts") + 1, changed=at
    )
    if not taken:
        return None
    job = models.Job.objects.select_related("task__experiment").get(pk=job_id)
    token = make_token()
    attempt = models.Attempt.objects.create(
        job=job,
        task_id=job.task_id,
        number=job.attempts,
        token=fingerprint(token),
        agent=asker.agent,
        site=asker.site,
        node=asker.node,
        leased=at,
        seen=at,
        lease_s=lease_s,
        lease_until=at + lease_s,
    )
    try_gates(gates, attempt, at)
    why = f"attempt {job.attempts} for {asker.label} at {asker.site.name}"
    record(JOB.name, "sent", Reason("dispatch", why), [(job.pk, "ready", job.task_id)], at)
    target = ReportTarget(f"{settings.PUBLIC_URL}/api/v1/attempts/{attempt.pk}/report", token)
    whole = expand(job.task, job, job.attempts, target, attempt.pk)
    return Lease(attempt.pk, token, whole, attempt.lease_until, lease_s)


def _check_room(site: models.Site) -> None:
    """Held for the transaction: of two that want the last place, the second waits and then sees it taken."""
    if site.max_active is None:
        return
    limit = models.Site.objects.select_for_update().values_list("max_active", flat=True).get(pk=site.pk)
    if limit is not None and models.Attempt.objects.filter(site=site, state__in=ACTIVE_ATTEMPT).count() >= limit:
        raise SiteFullError


def _set_aside(job_id: int, error: UsageError) -> None:
    """The profile cannot make this job (any more): somebody has to look, and the others go on."""
    rows = models.Job.objects.filter(pk=job_id, state="ready")
    transact(lambda: advance(JOB, rows, "manual", Reason("dispatch", str(error)), diag=str(error)))
