"""Brokerage: the next jobs for a site, by priority; among equals, the task that is furthest below its share first."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Count, Q, QuerySet

from pilotext.server.production.dispatch.placement import (
    Avoid,
    another_place_exists,
    avoided_by,
    avoids,
    nodes_of,
    not_avoiding,
    of_site,
)
from pilotext.server.production.models import Attempt, Job, Site, Task

FIRST = 10


@dataclass(frozen=True)
class Candidate:
    """A job that may be given out; whether it still may is decided when it is claimed."""

    job: int
    task: int
    priority: int
    type: str
    avoid: Avoid

    def avoids(self, node: str, at: datetime) -> bool:
        return avoids(self.avoid, (node,), at)


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


def candidates(
    site: Site, at: datetime, *, limit: int, without: Collection[str] = (), node: str = ""
) -> list[Candidate]:
    """Up to `limit` jobs for a site, best first; none of the types in `without`.

    With `node` they are those that this node may have. What avoids the site or the node comes last, and only where
    nobody else could take it.
    """
    lanes = []
    active = _active_by_task()
    running = Task.objects.running_of(site.experiment_id)
    places = (of_site(site.name), node) if node else (of_site(site.name),)
    for task in running.select_related("experiment").only("sites", "share", "experiment__name").order_by("pk"):
        waiting = _ready(task, site, at, limit, without=without, places=places)
        if (first := next(waiting, None)) is not None:
            lanes.append(_Lane(task.pk, task.share, active.get(task.pk, 0), first, waiting))
    return list(_interleave(lanes, limit))


def count_candidates(site: Site, at: datetime, *, limit: int, without: Collection[str] = ()) -> int:
    """Return how many jobs a site could be given, up to `limit`; none of the types in `without`.

    Jobs that avoid the site or some of its nodes are counted, too.
    """
    found = 0
    for task in Task.objects.running_of(site.experiment_id).only("sites").order_by("pk"):
        if found < limit:
            found += _jobs_of(task, site, at, without)[: limit - found].count()
    return found


def _active_by_task() -> dict[int, int]:
    rows = Attempt.objects.active()
    active: Counter[int] = Counter()
    # Grouped as an index is: grouped by the task alone, SQLite would go through all attempts there ever were.
    for _, _, task, number in rows.values_list("state", "site_id", "task_id").annotate(Count("pk")):
        active[task] += number
    return active


def _ready(
    task: Task, site: Site, at: datetime, limit: int, *, without: Collection[str], places: Collection[str]
) -> Iterator[Candidate]:
    jobs = _jobs_of(task, site, at, without).order_by("-priority", "id")
    seen: set[int] = set()
    put_off: list[tuple[Candidate, int | None]] = []
    # A few at first: with many tasks, most of them do not get their turn now.
    for page in (slice(0, FIRST), slice(FIRST, limit)):
        for found, only_site in _found(task, jobs, page):
            seen.add(found.job)
            if avoids(found.avoid, places, at):
                put_off.append((found, only_site))
            else:
                yield found
    if not put_off:
        return
    if len(seen) == limit:
        # Behind so many there may be others; only now the database has to look into what each of them avoids.
        for found, _ in _found(task, not_avoiding(jobs, places, at), slice(0, limit)):
            if found.job not in seen and not avoids(found.avoid, places, at):
                yield found
    yield from _last_resort(task, put_off, places, at)


def _jobs_of(task: Task, site: Site, at: datetime, without: Collection[str]) -> QuerySet[Job]:
    """Return the jobs of a task that may be given out at a site."""
    here = Q(site_id=site.pk)
    if not task.sites or site.name in task.sites:
        here |= Q(site_id=None)
    jobs = Job.objects.due(at).filter(here, task_id=task.pk)
    return jobs.exclude(type__in=without) if without else jobs


def _found(task: Task, jobs: QuerySet[Job], page: slice) -> Iterator[tuple[Candidate, int | None]]:
    rows = list(jobs.values_list("pk", "priority", "type", "site_id")[page])
    avoided = avoided_by([pk for pk, *_ in rows]) if rows else {}
    for pk, priority, job_type, only_site in rows:
        yield Candidate(pk, task.pk, priority, job_type, avoided.get(pk, {})), only_site


def _last_resort(
    task: Task, put_off: Iterable[tuple[Candidate, int | None]], places: Collection[str], at: datetime
) -> Iterator[Candidate]:
    """Jobs that avoid the asker, but that nobody else is there for: better here than never."""
    asked: dict[tuple[frozenset[str], int | None], bool] = {}

    def others(avoid: Avoid, only_site: int | None) -> bool:
        key = frozenset(avoid), only_site
        if key not in asked:
            asked[key] = another_place_exists(task, avoid, only_site=only_site)
        return asked[key]

    for found, only_site in put_off:
        nodes = nodes_of(found.avoid)
        # Without another site, another node of this one is the next best.
        if others(found.avoid, only_site) or (avoids(nodes, places, at) and others(nodes, only_site)):
            continue
        yield replace(found, avoid={} if avoids(nodes, places, at) else nodes)


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
