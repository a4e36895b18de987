"""Which jobs a site gets next: highest priority first; among equals, the task that is furthest below its share."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import Count, Q

from pilotext.server.production.models import Attempt, Job, Site, Task
from pilotext.server.production.states import ACTIVE_ATTEMPT


@dataclass(frozen=True)
class Candidate:
    """A job that may be given out; whether it still may is decided when it is claimed."""

    job: int
    task: int
    priority: int
    type: str
    avoid: dict[str, float]

    def avoids(self, node: str, at: float) -> bool:
        return bool(self.avoid) and self.avoid.get(node, 0.0) > at


@dataclass
class _Lane:
    """The candidates of one task."""

    task: int
    share: float
    active: int
    waiting: deque[Candidate] = field(default_factory=deque)

    @property
    def rank(self) -> tuple[int, float, int]:
        return -self.waiting[0].priority, (self.active + 1) / self.share, self.task


def candidates(site: Site, at: float, *, limit: int, without: Collection[str] = ()) -> list[Candidate]:
    """Up to `limit` jobs for a site, best first; none of the types in `without`."""
    lanes = []
    active = _active_by_task()
    for task in Task.objects.filter(state="running", experiment_id=site.experiment_id).order_by("pk"):
        waiting = deque(_ready(task, site, at, limit, without))
        if waiting:
            lanes.append(_Lane(task.pk, task.share, active.get(task.pk, 0), waiting))
    return list(_interleave(lanes, limit))


def _active_by_task() -> dict[int, int]:
    rows = Attempt.objects.filter(state__in=ACTIVE_ATTEMPT).values_list("task_id").annotate(Count("pk"))
    return dict(rows)


def _ready(task: Task, site: Site, at: float, limit: int, without: Collection[str]) -> Iterator[Candidate]:
    here = Q(site_id=site.pk)
    if not task.sites or site.name in task.sites:
        here |= Q(site_id=None)
    jobs = Job.objects.filter(here, task_id=task.pk, state="ready", not_before__lte=at).order_by("-priority", "id")
    if without:
        jobs = jobs.exclude(type__in=without)
    for pk, priority, job_type, avoid in jobs.values_list("pk", "priority", "type", "avoid")[:limit]:
        if avoid.get(f"site:{site.name}", 0.0) <= at:
            yield Candidate(pk, task.pk, priority, job_type, avoid)


def _interleave(lanes: Iterable[_Lane], limit: int) -> Iterator[Candidate]:
    heap = [(lane.rank, lane) for lane in lanes]
    heapq.heapify(heap)
    for _ in range(limit):
        if not heap:
            return
        _, lane = heapq.heappop(heap)
        yield lane.waiting.popleft()
        lane.active += 1
        if lane.waiting:
            heapq.heappush(heap, (lane.rank, lane))
