"""Jobs that wait for a decision, grouped by what they failed with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db.models import F

from pilotext.api.schemas.jobs import JobFilter
from pilotext.model.verdict import Evidence
from pilotext.server.production.lookup import refuse_unknown
from pilotext.server.production.models import Attempt, Product
from pilotext.server.production.states import JobState, ProductState
from pilotext.server.production.statistics.job_choice import choose_jobs, last_attempts, without_numbers
from pilotext.server.production.statistics.jobs import verdict_in
from pilotext.server.times import to_seconds

MAX_GROUPED = 2000
"""Jobs that are grouped: those that wait with the lowest numbers."""

MAX_SAMPLES = 3


@dataclass(frozen=True)
class SampleJob:
    """A job of a group with the evidence of its last verdict."""

    job: int
    task: str
    run: int | None
    site: str
    node: str
    evidence: tuple[Evidence, ...]


@dataclass
class WaitingGroup:
    """Jobs that failed with the same code, by the same rule, with the same message but for its numbers."""

    code: str
    rule: str
    message: str
    jobs: int = 0
    since: float = 0.0
    runs: set[tuple[int, int]] = field(default_factory=set)
    tasks: Counter[str] = field(default_factory=Counter)
    sites: Counter[str] = field(default_factory=Counter)
    assigned: Counter[str] = field(default_factory=Counter)
    first: list[int] = field(default_factory=list)
    samples: list[SampleJob] = field(default_factory=list)
    remedy: str = ""


@dataclass(frozen=True)
class HeldRun:
    """A product of a run that waits for a decision."""

    product: int
    task: int
    name: str
    run: int
    merge: str
    finding: str
    since: float


def group_waiting(asked: JobFilter) -> tuple[list[WaitingGroup], bool]:
    """Return the groups of the waiting jobs of a choice, the largest first, and whether they are of all of them."""
    waiting = choose_jobs(asked).filter(state=JobState.MANUAL).order_by("pk")
    columns = ("pk", "task__name", "task_id", "run", "code", "diag", "changed", "assigned")
    found = list(waiting.values_list(*columns, named=True)[: MAX_GROUPED + 1])
    if not found:
        refuse_unknown(asked)
    last = last_attempts(row.pk for row in found[:MAX_GROUPED])
    groups: dict[tuple[str, str, str], WaitingGroup] = {}
    for row in found[:MAX_GROUPED]:
        attempt = last.get(row.pk)
        key = (row.code, attempt.rule if attempt else "", without_numbers(row.diag))
        group = groups.setdefault(key, WaitingGroup(*key, since=to_seconds(row.changed)))
        group.jobs += 1
        group.since = min(group.since, to_seconds(row.changed))
        group.tasks[row.task__name] += 1
        group.assigned[row.assigned] += 1
        if attempt is not None:
            group.sites[attempt.site] += 1
        if row.run is not None:
            group.runs.add((row.task_id, row.run))
        if len(group.first) < MAX_SAMPLES:
            group.first.append(row.pk)
    return sorted(groups.values(), key=lambda group: -group.jobs), len(found) <= MAX_GROUPED


def add_samples(groups: list[WaitingGroup]) -> None:
    """Put samples and the remedy into these groups, all by one query."""
    of_job = {job: group for group in groups for job in group.first}
    tries = Attempt.objects.filter(job__in=of_job, number=F("job__attempts"), final_report__isnull=False)
    for attempt in tries.select_related("job__task", "site", "final_report").order_by("job"):
        group, verdict, job = of_job[attempt.job_id], verdict_in(attempt.final_report), attempt.job
        group.remedy = group.remedy or verdict.remedy
        sample = SampleJob(job.pk, job.task.name, job.run, attempt.site.name, attempt.node, verdict.evidence[:1])
        group.samples.append(sample)


def held_runs(first: int, limit: int) -> Iterator[HeldRun]:
    """Yield the products that wait for a decision, the oldest first, `limit` at most; `first` are left out."""
    rows = Product.objects.filter(state=ProductState.MANUAL).select_related("task").order_by("changed", "pk")
    for row in rows[first : first + limit]:
        yield HeldRun(row.pk, row.task_id, row.task.name, row.run, row.merge, row.finding, to_seconds(row.changed))
