"""Lists of attempts: those that began, ended or ran within a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db.models import Q, QuerySet

from pilotext.api.schemas.fields import Id, Limit, Time
from pilotext.model import Record
from pilotext.server.production.lookup import site_named, tasks_named
from pilotext.server.production.models import Attempt, Site, Task
from pilotext.server.production.states import ACTIVE_ATTEMPT
from pilotext.server.production.statistics.attention import silent_attempts
from pilotext.server.times import DAY_S, earlier, from_seconds, later, now, record_fields


class AttemptQuery(Record, frozen=True):
    """Choice of attempts by what happened to them between two points in time; of a day, where none is given.

    Those that were running at the end of it are the ones that began last; there is no further page of them. Silent ones
    are those of now, whatever the points in time.
    """

    by: Literal["started", "ended", "running", "silent"] = "ended"
    since: Time | None = None
    until: Time | None = None
    state: str | None = None
    """Several are separated by commas."""
    cause: str | None = None
    site: str | None = None
    task: str | None = None
    type: str | None = None
    submitter: str | None = None
    after: Id = 0
    limit: Limit = 100


@dataclass(frozen=True)
class ListedAttempt:
    """An attempt in a list."""

    attempt: int
    job: int
    number: int
    task: str
    run: int | None
    site: str
    node: str
    state: str
    code: str
    cause: str
    rule: str
    diag: str
    leased: float
    ended: float | None


def list_attempts(asked: AttemptQuery) -> tuple[list[ListedAttempt], int | None]:
    """Return a page of attempts, the newest first, and where the next one goes on.

    Raises RefusalError for a site or a task that there is not.
    """
    until = from_seconds(asked.until) if asked.until is not None else later(now(), 1.0)
    since = from_seconds(asked.since) if asked.since is not None else earlier(until, DAY_S)
    rows = _of_places(Attempt.objects.all(), asked)
    if asked.by == "running":
        at_work = Q(ended__gte=until) | Q(ended=None, state__in=ACTIVE_ATTEMPT)
        return listed(list(rows.filter(at_work, leased__lt=until).order_by("-leased")[: asked.limit])), None
    if asked.by == "silent":
        return page_of_attempts(rows.filter(pk__in=silent_attempts(now()).values("pk")), asked.after, asked.limit)
    column = "leased" if asked.by == "started" else "ended"
    rows = rows.filter(**{f"{column}__gte": since, f"{column}__lt": until})
    return page_of_attempts(rows, asked.after, asked.limit)


def page_of_attempts(rows: QuerySet[Attempt], after: int, limit: int) -> tuple[list[ListedAttempt], int | None]:
    """Return a page of these attempts, the newest first, and where the next one goes on."""
    if after:
        rows = rows.filter(pk__lt=after)
    found = list(rows.select_related("job").order_by("-pk")[: limit + 1])
    return listed(found[:limit]), found[limit - 1].pk if len(found) > limit else None


def listed(page: list[Attempt]) -> list[ListedAttempt]:
    """Return these attempts with the names of their tasks and sites."""
    sites = dict(Site.objects.filter(pk__in={row.site_id for row in page}).values_list("pk", "name"))
    tasks = dict(Task.objects.filter(pk__in={row.task_id for row in page}).values_list("pk", "name"))
    same = ("number", "node", "state", "code", "rule", "diag", "leased", "ended")
    return [
        ListedAttempt(
            attempt=row.pk,
            job=row.job_id,
            task=tasks[row.task_id],
            run=row.job.run,
            site=sites[row.site_id],
            cause=row.cause or ("lost" if row.state == "lost" else ""),
            **record_fields(row, same),
        )
        for row in page
    ]


def _of_places(rows: QuerySet[Attempt], asked: AttemptQuery) -> QuerySet[Attempt]:
    rows = rows.select_related("job")
    if asked.state is not None:
        rows = rows.filter(state__in=asked.state.split(","))
    if asked.cause is not None:
        rows = rows.filter(cause="" if asked.cause == "lost" else asked.cause)
    if asked.site is not None:
        rows = rows.filter(site=site_named(asked.site))
    if asked.task is not None:
        rows = rows.filter(task__in=[row.pk for row in tasks_named(asked.task)])
    of_task = {"type": asked.type, "submitter": "" if asked.submitter == "unknown" else asked.submitter}
    chosen = {name: value for name, value in of_task.items() if value is not None}
    return rows.filter(task__in=list(Task.objects.filter(**chosen).values_list("pk", flat=True))) if chosen else rows
