"""Giving jobs out: each at most once a lease, whoever asks and however many ask at once.

A short list of candidates for each site is kept in memory, so that most requests need no search. It is only a hint: a
job is taken by one conditional UPDATE, which the second one who wants it does not fulfil.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import connection

from pilotext.api.schemas.attempts import OUTPUTS_KEPT
from pilotext.errors import UsageError
from pilotext.model.job import Job, ReportTarget
from pilotext.server.database import transact
from pilotext.server.production import models
from pilotext.server.production.access.tokens import fingerprint, make_token
from pilotext.server.production.dispatch.breakers import (
    OpenBreaker,
    ProbeTakenError,
    held_types,
    open_breakers,
    start_probes,
)
from pilotext.server.production.dispatch.brokerage import Candidate, candidates
from pilotext.server.production.expected_files import kept_text
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import ATTEMPT, JOB, AttemptState, JobState, TaskState
from pilotext.server.production.transitions import Reason, advance, advance_one, record
from pilotext.server.rows import ById, change, insert
from pilotext.server.times import earlier, later, now

_JOB = ById(models.Job, "task", "task__experiment", without=("task__document",))

FRESH_S = 1.0
AHEAD = 200
MAX_LISTS = 1000
"""Lists in memory, before those that are too old to be used are thrown away."""
PLENTY = 2000
"""More places than all processes together give away in the moment that they trust an earlier count."""


MAX_SILENT_S = 600.0
"""Two heartbeats of an attempt."""

_HELD = """SELECT count(*) FROM production_attempt
WHERE agent_id = %s AND state IN ('leased', 'running') AND seen > %s AND phase <> %s"""


@dataclass(frozen=True)
class Asker:
    """The caller that asks for a job: a site's queue, one of its nodes, and the agent, if it is an agent.

    `key` is the agent's word for this request. `left_s` is the time after which its node is not there any more.
    `batch_job` is that of a pilot which a factory has started.
    """

    site: models.Site
    node: str
    agent: models.Agent | None = None
    key: str = ""
    left_s: float | None = None
    batch_job: str = ""

    @property
    def label(self) -> str:
        return self.agent.name if self.agent else f"pilot on {self.node or 'unknown node'}"


@dataclass(frozen=True)
class Lease:
    """A job given out. The token is here and nowhere else."""

    attempt: int
    token: str
    job: Job
    until: datetime
    lease_s: float


@dataclass
class _Ahead:
    found: datetime
    waiting: deque[Candidate]
    more: bool
    """There may be others when these are used up."""
    breakers: tuple[OpenBreaker, ...]
    """Breakers that are open here; those that are due let one job through."""

    def take(self, node: str, passed_by: set[int], at: datetime) -> tuple[Candidate, tuple[OpenBreaker, ...]] | None:
        """The first one that this node may have now."""
        for index, candidate in enumerate(self.waiting):
            if candidate.job in passed_by or candidate.avoids(node, at):
                continue
            breakers = tuple(breaker for breaker in self.breakers if breaker.holds(candidate.type, node))
            if all(breaker.due <= at for breaker in breakers):
                del self.waiting[index]
                return candidate, breakers
        return None


class Dispatcher:
    """Gives out jobs; one of these in a process."""

    def __init__(self) -> None:
        self._ahead: dict[tuple[int, str, frozenset[str]], _Ahead] = {}
        self._lock = threading.Lock()

    def give(self, asker: Asker, *, lease_s: float | None = None) -> Lease | None:
        """Lease the best job that the asker may have to it, or None when there is none now."""
        if asker.site.closed:
            return None
        passed_by: set[int] = set()
        while (found := self._next(asker, passed_by)) is not None:
            candidate, breakers = found
            passed_by.add(candidate.job)
            try:
                lease = transact(partial(_claim, candidate.job, asker, lease_s or settings.LEASE_S, breakers))
            except SiteFullError:
                return None
            except ProbeTakenError:
                self.forget()
                continue
            except UsageError as error:
                _set_aside(candidate.job, error)
                continue
            if lease is not None:
                return lease
        return None

    def give_again(self, asker: Asker) -> Lease | None:
        """Return the lease that the asker has for the same key and has not used yet: the answer was lost."""
        try:
            return transact(partial(_claimed, asker)) if asker.key else None
        except UsageError:  # its profile cannot make it any more; when its lease is over, somebody has to look at it
            return None

    def forget(self) -> None:
        """Look for candidates anew at the next request."""
        with self._lock:
            self._ahead.clear()

    def _next(self, asker: Asker, passed_by: set[int]) -> tuple[Candidate, tuple[OpenBreaker, ...]] | None:
        at = now()
        long = _too_long(asker)
        with self._lock:
            ahead = self._ahead_of(asker.site, "", long, at)
            found = ahead.take(asker.node, passed_by, at)
            if found is None and any(candidate.avoids(asker.node, at) for candidate in ahead.waiting):
                # They may hide others behind them, or have nowhere else to go.
                found = self._ahead_of(asker.site, asker.node, long, at).take(asker.node, passed_by, at)
        return found

    def _ahead_of(self, site: models.Site, node: str, long: frozenset[str], at: datetime) -> _Ahead:
        """Return the list of candidates of a site, without the types `long`; with `node`, those that it may have."""
        ahead = self._ahead.get((site.pk, node, long))
        used_up = ahead is not None and ahead.more and not ahead.waiting
        if ahead is None or used_up or not _is_fresh(ahead.found, at):
            if len(self._ahead) > MAX_LISTS:
                self._ahead = {key: each for key, each in self._ahead.items() if _is_fresh(each.found, at)}
            ahead = self._ahead[site.pk, node, long] = _look_ahead(site, node, long, at)
        return ahead


def _is_fresh(found: datetime, at: datetime) -> bool:
    return found >= earlier(at, FRESH_S)


def _too_long(asker: Asker) -> frozenset[str]:
    """Return the types of jobs whose time limit is longer than the rest of the asker's time."""
    if asker.left_s is None:
        return frozenset()
    limits = {name: each.limits.wall_s for name, each in profile_of(asker.site.experiment.name).job_types.items()}
    return frozenset(name for name, wall_s in limits.items() if wall_s is not None and wall_s > asker.left_s)


def _look_ahead(site: models.Site, node: str, long: frozenset[str], at: datetime) -> _Ahead:
    breakers = open_breakers(site)
    closed, types = held_types(breakers, at)
    found = deque(() if closed else candidates(site, at, limit=AHEAD, without=types | long, node=node))
    return _Ahead(at, found, bool(found), breakers)


class SiteFullError(Exception):
    """The site, or the agent, has as many attempts as it may have."""


def _held_by(agent: models.Agent, at: datetime) -> int:
    """Return how many attempts an agent has. Of two requests of it at once, the second sees the first one's lease.

    Attempts that are silent do not count: they may be those of an agent that was killed and is started anew. Neither
    do those whose outputs wait for their storage: they hold no slot.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # SQLite has one writer at a time
            cursor.execute("SELECT 1 FROM production_agent WHERE id = %s FOR UPDATE", [agent.pk])
        silent_s = min(settings.LEASE_S / 2, MAX_SILENT_S)
        heard = connection.ops.adapt_datetimefield_value(earlier(at, silent_s))
        cursor.execute(_HELD, [agent.pk, heard, OUTPUTS_KEPT])
        held: int = cursor.fetchone()[0]
    return held


def _claim(job_id: int, asker: Asker, lease_s: float, breakers: tuple[OpenBreaker, ...]) -> Lease | None:
    at = now()
    _check_room(asker.site)
    if asker.agent is not None and _held_by(asker.agent, at) >= asker.agent.slots:
        raise SiteFullError
    job = _JOB.get(job_id)
    if job is None or job.not_before > at or job.state != JobState.READY or job.task.state != TaskState.RUNNING:
        return None
    if job.attempts and models.Attempt.objects.active().filter(job_id=job.pk).exists():
        return None  # it was cancelled and sent again, and its worker has not heard of that yet
    number = job.attempts + 1
    why = f"attempt {number} for {asker.label} at {asker.site.name}"
    if not advance_one(JOB, job, (JobState.READY,), JobState.SENT, Reason("dispatch", why, "attempt"), attempts=number):
        return None
    token, until = make_token(), later(at, lease_s)
    attempt = insert(
        models.Attempt,
        job_id=job.pk,
        task_id=job.task_id,
        number=number,
        token=fingerprint(token),
        agent_id=asker.agent.pk if asker.agent else None,
        key=asker.key,
        site_id=asker.site.pk,
        node=asker.node,
        batch_job=asker.batch_job,
        leased=at,
        seen=at,
        lease_s=lease_s,
        lease_until=until,
    )
    start_probes(breakers, job.pk, attempt, number, at)
    return Lease(attempt, token, _whole(job, number, attempt, token), until, lease_s)


def _claimed(asker: Asker) -> Lease | None:
    rows = models.Attempt.objects.filter(state=AttemptState.LEASED, site=asker.site, agent=asker.agent, key=asker.key)
    attempt = rows.select_for_update(of=("self",)).first()
    job = _JOB.get(attempt.job_id) if attempt else None
    if attempt is None or job is None or attempt.stop or job.task.state == TaskState.CANCELLED:
        return None
    token, until = make_token(), later(now(), attempt.lease_s)
    change(models.Attempt, attempt.pk, {}, token=fingerprint(token), seen=now(), lease_until=until)
    reason = Reason(
        "dispatch", f"given to {asker.label} again, which did not hear the answer, with another token", "attempt"
    )
    record(ATTEMPT.name, attempt.state, reason, [(attempt.pk, attempt.state, attempt.task_id)])
    return Lease(attempt.pk, token, _whole(job, attempt.number, attempt.pk, token), until, attempt.lease_s)


def _whole(job: models.Job, number: int, attempt: int, token: str) -> Job:
    target = ReportTarget(f"{settings.PUBLIC_URL}/api/v1/attempts/{attempt}/report", token)
    built = build_job(job.task, job, number, target, attempt)
    change(models.Attempt, attempt, {}, expected_files=kept_text(built))
    return built


@dataclass
class _Room:
    """Places that a site had left a moment ago, less those that this process gave away since."""

    counted: datetime
    limit: int
    left: int


_rooms: dict[int, _Room] = {}


def _check_room(site: models.Site) -> None:
    """Counted for every job when it becomes narrow, and once a moment while there is plenty."""
    if site.max_active is None:
        return
    room = _rooms.get(site.pk)
    plenty = room is not None and room.left > PLENTY and room.limit == site.max_active
    if room is not None and plenty and _is_fresh(room.counted, now()):
        room.left -= 1
        return
    _count_room(site)


def _count_room(site: models.Site) -> None:
    """Held for the transaction: of two that want the last place, the second waits and then sees it taken."""
    limit = models.Site.objects.select_for_update().values_list("max_active", flat=True).get(pk=site.pk)
    if limit is None:
        return
    left = limit - models.Attempt.objects.active().filter(site=site).count()
    _rooms[site.pk] = _Room(now(), limit, left)
    if left <= 0:
        raise SiteFullError


def _set_aside(job_id: int, error: UsageError) -> None:
    """The profile cannot make this job (any more): somebody has to look, and the others go on."""
    rows = models.Job.objects.filter(pk=job_id, state=JobState.READY)
    transact(
        lambda: advance(
            JOB, rows, (JobState.READY,), JobState.MANUAL, Reason("dispatch", str(error), "cycle"), diag=str(error)
        )
    )
