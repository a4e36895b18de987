"""Lists and pages for people, each by a few queries whatever the size."""

from __future__ import annotations

from collections.abc import Iterator

from pilotext.messages import AttemptRow, EventRow, JobList, JobPage, JobRow, TaskRow
from pilotext.server.production.counts import TaskCounts, counts_of
from pilotext.server.production.models import Event, Job, Task
from pilotext.server.production.refusal import RefusalError

MOST_TASKS = 1000
MOST_EVENTS = 1000


def tasks(*, state: str | None = None, name: str | None = None) -> Iterator[TaskRow]:
    """Tasks with their counts, the newest first."""
    rows = Task.objects.select_related("experiment").order_by("-pk")
    if state is not None:
        rows = rows.filter(state=state)
    if name is not None:
        rows = rows.filter(name=name)
    found = list(rows[:MOST_TASKS])
    counts = counts_of(row.pk for row in found)
    for row in found:
        yield _task_row(row, counts[row.pk])


def task(task_id: int) -> TaskRow:
    """One task. Raises RefusalError if there is none."""
    row = Task.objects.select_related("experiment").filter(pk=task_id).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task_id}.")
    return _task_row(row, counts_of([row.pk])[row.pk])


def jobs(
    *,
    task: str | None = None,
    state: str | None = None,
    run: int | None = None,
    code: str | None = None,
    product: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> JobList:
    """A page of jobs in the order of their ids."""
    rows = Job.objects.filter(pk__gt=after).select_related("task").order_by("pk")
    if code:
        rows = rows.filter(code__gt="")
    asked = {"task__name": task, "state": state, "run": run, "code": code, "product": product}
    found = list(rows.filter(**{name: value for name, value in asked.items() if value is not None})[: limit + 1])
    page = found[:limit]
    return JobList(tuple(_job_row(row) for row in page), page[-1].pk if len(found) > limit else None)


def job(job_id: int) -> JobPage:
    """One job with its history. Raises RefusalError if there is none."""
    row = Job.objects.select_related("task").filter(pk=job_id).first()
    if row is None:
        raise RefusalError("not-found", f"there is no job {job_id}.")
    events = Event.objects.filter(subject="job", subject_id=job_id).order_by("pk")[:MOST_EVENTS]
    return JobPage(_job_row(row), tuple(_attempts(row)), tuple(_event_row(event) for event in events))


def _task_row(row: Task, counts: TaskCounts) -> TaskRow:
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
    )


_SAME = tuple(name for name in JobRow.__struct_fields__ if name not in ("job", "task"))


def _job_row(row: Job) -> JobRow:
    return JobRow(job=row.pk, task=row.task.name, **{name: getattr(row, name) for name in _SAME})


def _attempts(row: Job) -> Iterator[AttemptRow]:
    same = [name for name in AttemptRow.__struct_fields__ if name not in ("attempt", "site", "agent")]
    for attempt in row.tries.select_related("site", "agent").order_by("number"):
        yield AttemptRow(
            attempt=attempt.pk,
            site=attempt.site.name,
            agent=attempt.agent.name if attempt.agent else "",
            **{name: getattr(attempt, name) for name in same},
        )


def _event_row(event: Event) -> EventRow:
    return EventRow(**{name: getattr(event, name) for name in EventRow.__struct_fields__})
