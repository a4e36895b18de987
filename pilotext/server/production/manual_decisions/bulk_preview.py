"""Preview of a decision on many jobs: how many can be moved, which cannot and why, and the runs merged anew."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, F, Sum

from pilotext.api.schemas.jobs import (
    BulkMove,
    BulkMoved,
    ChosenCount,
    Hindrance,
    MergedAnew,
    MovePreview,
    NotMoved,
)
from pilotext.server.production.lookup import refuse_unknown
from pilotext.server.production.manual_decisions.jobs import hindered, may_move
from pilotext.server.production.models import Job, Product
from pilotext.server.production.states import PRODUCT, JobState, ProductState
from pilotext.server.production.statistics.job_choice import choose_jobs, without_numbers
from pilotext.server.production.statistics.jobs import job_row

MAX_FIRST = 10
"""Jobs that a preview shows."""

MAX_LOOKED_AT = 500
"""Jobs whose hindrances and runs a preview looks up: as many as one step of the decision moves."""


def preview_many(asked: BulkMove) -> BulkMoved:
    """Return the effect of a decision on all jobs of a choice; nothing is moved. Raises RefusalError as `move_many`."""
    preview, hindered_jobs = _preview(asked)
    return BulkMoved((), hindered_jobs, None, preview.jobs, preview)


def preview_of(asked: BulkMove) -> MovePreview:
    """Return the same, for a page."""
    return _preview(asked)[0]


@dataclass(frozen=True)
class DecisionScope:
    """Jobs that a decision moves: the runs that they are of, and the attempts that they have had."""

    runs: int
    attempts: int


def scope_of(asked: BulkMove) -> DecisionScope:
    """Return how many runs and attempts a decision concerns, by two queries whatever the number of jobs."""
    rows = choose_jobs(asked.jobs).filter(state__in=may_move(asked.to)).order_by()
    # The sums keep SQLite from the index of runs, which it would read for all jobs instead of these.
    runs = rows.filter(run__isnull=False).values(of_task=F("task") + 0, of_run=F("run") + 0).distinct().count()
    return DecisionScope(runs, rows.aggregate(number=Sum("attempts"))["number"] or 0)


def _preview(asked: BulkMove) -> tuple[MovePreview, tuple[NotMoved, ...]]:
    states = may_move(asked.to)
    grouped = choose_jobs(asked.jobs).order_by("task", "state").values_list("task__name", "state").annotate(Count("pk"))
    counts = tuple(ChosenCount(task, state, number, state in states) for task, state, number in grouped)
    if not counts:
        refuse_unknown(asked.jobs)
    rows = choose_jobs(asked.jobs).filter(state__in=states).select_related("task").order_by("pk")
    looked_at = list(rows[:MAX_LOOKED_AT])
    cannot = hindered(Job.objects.filter(pk__in=[row.pk for row in looked_at]), asked.to)
    can = [row for row in looked_at if row.pk not in cannot]
    first = looked_at[:MAX_FIRST]
    preview = MovePreview(
        jobs=sum(each.jobs for each in counts if each.moves),
        counts=counts,
        first=tuple(map(job_row, first)),
        looked_at=len(looked_at),
        hindrances=_grouped(cannot),
        merged_anew=_merged_anew(can, asked.to),
    )
    return preview, tuple(NotMoved(row.pk, cannot[row.pk]) for row in first if row.pk in cannot)


def _grouped(cannot: dict[int, str]) -> tuple[Hindrance, ...]:
    """Return the reasons, the most frequent first."""
    counts = Counter(map(without_numbers, cannot.values()))
    first = {without_numbers(cannot[job]): job for job in sorted(cannot, reverse=True)}
    return tuple(Hindrance(cannot[first[why]], number, first[why]) for why, number in counts.most_common())


def _merged_anew(jobs: Sequence[Job], word: str) -> tuple[MergedAnew, ...]:
    """Return the runs whose products this decision on these jobs makes obsolete."""
    if word not in ("resend", "accept"):
        return ()
    chunks = {job.pk: (job.task_id, job.run) for job in jobs if job.run is not None and not job.product}
    merges = [job.pk for job in jobs if job.product and job.state == JobState.FINISHED and word == "resend"]
    reopened = PRODUCT.sources(ProductState.WAITING, "person")
    tasks, runs = {job.task_id for job in jobs}, {run for _, run in chunks.values()}
    of_runs = Product.objects.filter(task__in=tasks, run__in=runs, state__in=reopened)
    products = [
        product
        for product in of_runs.order_by("task", "run", "pk")
        if (product.task_id, product.run) in chunks.values()
        and (word == "resend" or any(job in chunks for job in product.left_out))
    ]
    if merges:
        products += Product.objects.filter(groups__job__in=merges, state__in=reopened)
    names = {job.task_id: job.task.name for job in jobs}
    found: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for product in products:
        found[product.task_id, product.run].append(product.merge)
    return tuple(MergedAnew(names[task], run, tuple(dict.fromkeys(of))) for (task, run), of in found.items())
