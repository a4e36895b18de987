"""Which jobs a site gets next: highest priority first; among equals, the task that is furthest below its share."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Count, Q

from pilotext.server.production.models import Attempt, Job, Site, Task
from pilotext.server.production.states import ACTIVE_ATTEMPT

FIRST = 10


@dataclass(frozen=True)
class Candidate:
    """A job that may be given out; whether it still may is decided when it is claimed."""

    job: int
    task: int
    priority: int
    avoid: dict[str, float]

    def avoids(self, node: str, at: float) -> bool:
        return bool(self.avoid) and self.avoid.get(node, 0.0) > at


@dataclass
class _Lane:
    """The candidates of one task."""

    task: int
    share: float
    active: int
    first: Candidate
    others: Iterator[Candidate]

    @property
    def rank(self) -> tuple[int, float, int]:
        return -self.first.priority, (self.active + 1) / self.share, self.task


def candidates(site: Site, at: float, *, limit: int) -> list[Candidate]:
    """Up to `limit` jobs for a site, best first."""
    lanes = []
    active = _active_by_task()
    running = Task.objects.filter(state="running", experiment_id=site.experiment_id)
    for task in running.only("sites", "share").order_by("pk"):
        waiting = _ready(task, site, at, limit)
        if (first := next(waiting, None)) is not None:
            lanes.append(_Lane(task.pk, task.share, active.get(task.pk, 0), first, waiting))
    return list(_interleave(lanes, limit))


def _active_by_task() -> dict[int, int]:
    rows = Attempt.objects.filter(state__in=ACTIVE_ATTEMPT)
    active: Counter[int] = Counter()
    # Grouped as an index is: grouped by the task alone, SQLite would go through all attempts there ever were.
    for _, _, task, number in rows.values_list("state", "site_id", "task_id").annotate(Count("pk")):
        active[task] += number
    return active


def _ready(task: Task, site: Site, at: float, limit: int) -> Iterator[Candidate]:
    here = Q(site_id=site.pk)
    if not task.sites or site.name in task.sites:
        here |= Q(site_id=None)
    jobs = Job.objects.filter(here, task_id=task.pk, state="ready", not_before__lte=at).order_by("-priority", "id")
    rows = jobs.values_list("pk", "priority", "avoid")
    # A few at first: with many tasks, most of them do not get their turn now.
    for page in (slice(0, FIRST), slice(FIRST, limit)):
        for pk, priority, avoid in rows[page]:
            if avoid.get(f"site:{site.name}", 0.0) <= at:
                yield Candidate(pk, task.pk, priority, avoid)


def _interleave(lanes: Iterable[_Lane], limit: int) -> Iterator[Candidate]:
    heap = [(lane.rank, lane) for lane in lanes]
    heapq.heapify(heap)
    for _ in range(limit):
        if not heap:
            return
        _, lane = heapq.heappop(heap)
        yield lane.first
        lane.active += 1
        if (following := next(lane.others, None)) is not None:
            lane.first = following
            heapq.heappush(heap, (lane.rank, lane))
