"""Pages of tasks with their counts, each by a few queries whatever the number of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from django.db.models import Count, F, Q, QuerySet

from pilotext.api.schemas.tasks import TaskPage, TaskRow
from pilotext.server.production import waiting
from pilotext.server.production.lookup import tasks_named
from pilotext.server.production.models import Attempt, LogArchive, Product, Task
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import OPEN_JOB, AttemptState, JobState, LogArchiveState, ProductState
from pilotext.server.production.statistics.counts import TaskCounts, counts_of

MAX_TASKS = 1000

DAY_S = 86400.0
RECENT_S = 6 * 3600.0
"""Time in seconds over which the pace of a task is taken."""


@dataclass(frozen=True)
class Pace:
    """Attempts of a task that succeeded lately, its open jobs, and the time until they have ended at this pace.

    `left_s` is None where nothing succeeded lately, so that nobody can tell.
    """

    day: int
    per_hour: float
    open_jobs: int
    left_s: float | None


def list_tasks(*, state: str | None = None, name: str | None = None) -> Iterator[TaskRow]:
    """Tasks with their counts, the newest first."""
    rows = _tasks().order_by("-pk")
    if state is not None:
        rows = rows.filter(state=state)
    if name is not None:
        rows = rows.filter(pk__in=[row.pk for row in tasks_named(name)])
    found = list(rows[:MAX_TASKS])
    numbers = [row.pk for row in found]
    counts, decisions = counts_of(numbers), _decisions(numbers)
    for row in found:
        yield _task_row(row, counts[row.pk], decisions[row.pk])


def describe_task(task_id: int) -> TaskPage:
    """One task with why it is not further. Raises RefusalError if there is none."""
    row = _tasks().filter(pk=task_id).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task_id}.")
    return TaskPage(
        task=_task_row(row, counts_of([row.pk])[row.pk], _decisions([row.pk])[row.pk]),
        parameters={name: str(value) for name, value in row.parameters.items()},
        environment={name: str(value) for name, value in row.environment.items()},
        sites=tuple(row.sites),
        priority=row.priority,
        share=row.share,
        max_attempts=row.max_attempts,
        staging=row.staging,
        waits=waiting.of_task(row),
        needs_person=waiting.needs_person(row),
    )


def pace_of(task: TaskRow) -> Pace:
    """Return how fast a task gets on, and how long it will still need, merges included."""
    at = now()
    ended = Attempt.objects.filter(task=task.task, state=AttemptState.FINISHED, ended__gte=at - DAY_S)
    found = ended.aggregate(day=Count("pk"), recent=Count("pk", filter=Q(ended__gte=at - RECENT_S)))
    per_hour = found["recent"] / (RECENT_S / 3600.0)
    jobs = sum(number for counted in (task.jobs, task.merges) for state, number in counted.items() if state in OPEN_JOB)
    return Pace(found["day"], per_hour, jobs, jobs / per_hour * 3600.0 if per_hour else None)


def _tasks() -> QuerySet[Task]:
    rows = Task.objects.select_related("experiment").defer("document")
    return rows.annotate(earlier=F("replaces__name"), later=F("successor__name"))


def _decisions(tasks: Collection[int]) -> Counter[int]:
    """Products of runs and log archives that wait for a decision, by task."""
    found: Counter[int] = Counter()
    for rows in (
        Product.objects.filter(state=ProductState.MANUAL, task__in=tasks),
        LogArchive.objects.filter(state=LogArchiveState.MANUAL, task__in=tasks),
    ):
        found.update(dict(rows.order_by().values_list("task").annotate(Count("pk"))))
    return found


def _task_row(row: Task, counts: TaskCounts, decisions: int) -> TaskRow:
    return TaskRow(
        task=row.pk,
        name=row.name,
        experiment=row.experiment.name,
        type=row.type,
        state=row.state,
        jobs=counts.own,
        merges=counts.merges,
        created=row.created,
        changed=row.changed,
        note=row.note,
        replaces=getattr(row, "earlier", None) or "",
        replaced_by=getattr(row, "later", None) or "",
        to_decide=decisions + counts.own.get(JobState.MANUAL, 0) + counts.merges.get(JobState.MANUAL, 0),
    )
