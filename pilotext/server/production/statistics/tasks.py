"""Pages of tasks with their counts, each by a few queries whatever the number of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from django.db.models import F, OuterRef, QuerySet

from pilotext.api.schemas.tasks import TaskPage, TaskRow
from pilotext.server.database import number_of
from pilotext.server.production import waiting
from pilotext.server.production.lookup import tasks_named
from pilotext.server.production.models import Attempt, LeftOutInput, LogArchive, Product, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import OPEN_JOB, AttemptState, JobState, LogArchiveState, ProductState
from pilotext.server.production.statistics.counts import TaskCounts, counts_of_rows
from pilotext.server.production.statistics.marks import with_last
from pilotext.server.times import DAY_S, earlier, now, to_seconds

MAX_TASKS = 1000
MAX_TASKS_OF_PERIODS = 2000
"""Tasks whose jobs are counted by period, the newest."""

MAX_LEFT_OUT = 100
"""Inputs left out that a page names."""

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


@dataclass(frozen=True)
class TaskDescription:
    """The page of a task with the row that it was made of, and its pace: a few queries for all of them.

    `refused` are the first inputs that were left out, each with the reason; `left_out` is the number of all of them.
    """

    row: Task
    page: TaskPage
    pace: Pace
    left_out: int
    refused: tuple[tuple[str, str], ...]


def list_tasks(
    *,
    state: str | None = None,
    name: str | None = None,
    without: Collection[str] = (),
    before: int | None = None,
    limit: int = MAX_TASKS,
) -> Iterator[TaskRow]:
    """Tasks with their counts, the newest first; `without` are states of tasks that are left out.

    `before` is the number of the task that the last page ended with.
    """
    rows = _tasks().defer("document").exclude(state__in=without).order_by("-pk")
    if state is not None:
        rows = rows.filter(state=state)
    if name is not None:
        rows = rows.filter(pk__in=[row.pk for row in tasks_named(name)])
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[:limit])
    counts = counts_of_rows(found)
    for row in found:
        yield _task_row(row, counts[row.pk])


def task_rows(numbers: Collection[int]) -> Iterator[TaskRow]:
    """Tasks of these numbers with their counts, the newest first."""
    found = list(_tasks().defer("document").filter(pk__in=numbers).order_by("-pk"))
    counts = counts_of_rows(found)
    for row in found:
        yield _task_row(row, counts[row.pk])


def describe_task(task_id: int) -> TaskPage:
    """One task with why it is not further. Raises RefusalError if there is none."""
    return description_of(task_id).page


def description_of(task_id: int) -> TaskDescription:
    """One task with why it is not further and how fast it gets on. Raises RefusalError if there is none."""
    at = now()
    ended = Attempt.objects.filter(task=OuterRef("pk"), state=AttemptState.FINISHED)
    day, recent = (number_of(ended.filter(ended__gte=earlier(at, time_s))) for time_s in (DAY_S, RECENT_S))
    rows = waiting.with_put_off(_tasks(), at).annotate(
        ended_day=day,
        ended_recently=recent,
        left_out=number_of(LeftOutInput.objects.filter(task=OuterRef("pk"))),
    )
    row = rows.filter(pk=task_id).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task_id}.")
    counts = counts_of_rows([row])[row.pk]
    found, parts = _task_row(row, counts), waiting.parts_of(row, counts)
    page = TaskPage(
        task=found,
        parameters={name: str(value) for name, value in row.parameters.items()},
        environment={name: str(value) for name, value in row.environment.items()},
        sites=tuple(row.sites),
        priority=row.priority,
        share=row.share,
        max_attempts=row.max_attempts,
        staging=row.staging,
        waits=waiting.of_task(row, at, parts),
        needs_person=waiting.needs_person(row, parts),
        inputs_of=_inputs_of(row),
    )
    left_out = list(row.left_out_inputs.order_by("pk")[:MAX_LEFT_OUT]) if row.left_out else []
    pace = pace_of(found, row.ended_day, row.ended_recently)
    return TaskDescription(row, page, pace, row.left_out, tuple((each.file, each.why) for each in left_out))


def _inputs_of(row: Task) -> str:
    """Return the outputs of another task that are the inputs of a task, in words; empty where it names them itself."""
    if not row.input_kind or row.parent is None:
        return ""
    missing = f", which is {row.parent.state}: {row.inputs_missing}" if row.inputs_missing else ""
    return f"{'merged ' if row.input_merged else ''}{row.input_kind} of task {row.parent.name}{missing}"


def pace_of(task: TaskRow, day: int, recent: int) -> Pace:
    """Return how fast a task gets on, and how long it will still need, merges included.

    `day` and `recent` are its attempts that succeeded within a day and within RECENT_S.
    """
    per_hour = recent / (RECENT_S / 3600.0)
    jobs = sum(number for counted in (task.jobs, task.merges) for state, number in counted.items() if state in OPEN_JOB)
    return Pace(day, per_hour, jobs, jobs / per_hour * 3600.0 if per_hour else None)


def _tasks() -> QuerySet[Task]:
    mine = OuterRef("pk")
    return with_last(Task.objects.select_related("experiment", "parent").defer("parent__document")).annotate(
        earlier=F("replaces__name"),
        later=F("successor__name"),
        manual_products=number_of(Product.objects.filter(state=ProductState.MANUAL, task=mine)),
        manual_archives=number_of(LogArchive.objects.filter(state=LogArchiveState.MANUAL, task=mine)),
    )


def _task_row(row: Task, counts: TaskCounts) -> TaskRow:
    decisions = getattr(row, "manual_products", 0) + getattr(row, "manual_archives", 0)
    return TaskRow(
        task=row.pk,
        name=row.name,
        experiment=row.experiment.name,
        type=row.type,
        state=row.state,
        jobs=counts.own,
        merges=counts.merges,
        created=to_seconds(row.created),
        changed=to_seconds(row.changed),
        note=row.note,
        replaces=getattr(row, "earlier", None) or "",
        replaced_by=getattr(row, "later", None) or "",
        to_decide=decisions + counts.own.get(JobState.MANUAL, 0) + counts.merges.get(JobState.MANUAL, 0),
    )


@dataclass
class Period:
    """A year and a period of data taking, with the tasks of it and their production jobs by state."""

    year: int | None
    period: str
    tasks: int = 0
    jobs: Counter[str] = field(default_factory=Counter)


def list_periods() -> list[Period]:
    """Return all periods of which there is a task, the latest first."""
    rows = list(with_last(Task.objects.only("pk", "year", "period")).order_by("-pk")[:MAX_TASKS_OF_PERIODS])
    counts = counts_of_rows(rows)
    found: dict[tuple[int | None, str], Period] = {}
    for row in rows:
        period = found.setdefault((row.year, row.period), Period(row.year, row.period))
        period.tasks += 1
        period.jobs.update(counts[row.pk].own)
    return sorted(found.values(), key=lambda each: (-(each.year or 0), each.period))


def tasks_of_period(year: int | None, period: str) -> QuerySet[Task]:
    """Return the tasks of a period, the newest first."""
    return Task.objects.filter(year=year, period=period).order_by("-pk")
