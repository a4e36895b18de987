"""Failed attempts counted by code, cause, site, task and day, and listed; failures that no rule knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db.models import Count, F, Max, QuerySet

from pilotext.api.schemas.errors import ErrorList, ErrorRow
from pilotext.api.schemas.rules import SignatureList, SignatureRow
from pilotext.server.database import spelled_out
from pilotext.server.production.lookup import (
    experiment_named,
    refuse_unknown_code,
    site_named,
    tasks_named,
)
from pilotext.server.production.models import Attempt, Signature, Site, Task
from pilotext.server.production.states import FAILED_ATTEMPT
from pilotext.server.production.statistics.attempts import ListedAttempt, page_of_attempts
from pilotext.server.times import Day, record_fields, to_seconds

ERROR_FIELDS = {"code": "code", "cause": "cause", "site": "site__name", "task": "task__name", "day": "day"}

MAX_ERRORS = 1000


def list_errors(
    *,
    by: Iterable[str],
    since: datetime,
    until: datetime,
    task: str | None,
    site: str | None,
    code: str | None,
    cause: str | None = None,
    of_task: int | None = None,
) -> ErrorList:
    """Failed attempts of a period, counted by these fields, the most frequent first.

    `task` is the name of tasks, `of_task` the number of one.
    """
    fields = list(dict.fromkeys(by))
    rows = failed_between(since, until, task=task, site=site, code=code, cause=cause)
    if of_task is not None:
        rows = rows.filter(task=of_task)
    found = tuple(count_by(rows, fields))
    if not found and code is not None:
        refuse_unknown_code(code)
    return ErrorList(found)


def failed_between(
    since: datetime,
    until: datetime,
    *,
    task: str | None = None,
    site: str | None = None,
    code: str | None = None,
    cause: str | None = None,
) -> QuerySet[Attempt]:
    """Return the attempts that failed or were lost in a period. Raises RefusalError for an unknown site or task."""
    rows: QuerySet[Attempt] = Attempt.objects.filter(
        state__in=spelled_out(FAILED_ATTEMPT), ended__gte=since, ended__lt=until
    )
    if task is not None:
        rows = rows.filter(task__in=[row.pk for row in tasks_named(task)])
    if site is not None:
        rows = rows.filter(site__in=[site_named(site).pk])
    if code is not None:
        rows = rows.filter(code=code)
    if cause is not None:
        rows = rows.filter(cause="" if cause == "lost" else cause)
    return rows


def count_by(rows: QuerySet[Attempt], fields: list[str]) -> Iterator[ErrorRow]:
    """Yield the numbers of these attempts by these fields, the most frequent first, MAX_ERRORS at most."""
    if "day" in fields:
        rows = rows.annotate(day=Day(F("ended")))
    # By the numbers of site and task, whose names are put in behind: the index alone is read.
    columns = [{"site": "site_id", "task": "task_id"}.get(field, field) for field in fields]
    counted = (
        rows.order_by().values(*columns).annotate(n=Count("pk"), jobs=Count("job", distinct=True), at=Max("ended"))
    )
    sites = dict(Site.objects.values_list("pk", "name")) if "site" in fields else {}
    found = list(counted.order_by("-n")[:MAX_ERRORS])
    tasks = dict(Task.objects.filter(pk__in={row.get("task_id") for row in found}).values_list("pk", "name"))
    for row in found:
        yield ErrorRow(
            code=row.get("code", ""),
            cause=row["cause"] or "lost" if "cause" in row else "",
            site=sites.get(row.get("site_id"), ""),
            task=tasks.get(row.get("task_id"), ""),
            day=row.get("day", ""),
            attempts=row["n"],
            jobs=row["jobs"],
            last=to_seconds(row["at"]),
        )


def list_signatures(*, experiment: str | None, limit: int) -> SignatureList:
    """The unknown failures that came last."""
    rows = Signature.objects.filter(count__gt=0).select_related("experiment").order_by("-last")
    if experiment is not None:
        rows = rows.filter(experiment=experiment_named(experiment))
    found = list(rows[:limit])
    tries = Attempt.objects.filter(signature__in=[row.pk for row in found]).values_list("signature")
    still = {pk: (number, job) for pk, number, job in tries.annotate(Count("pk"), Max("job"))}
    return SignatureList(tuple(_signature(row, *still.get(row.pk, (0, None))) for row in found))


def _signature(row: Signature, still: int, job: int | None) -> SignatureRow:
    same = record_fields(row, ("signature", "count", "first", "last", "diag", "note"))
    return SignatureRow(experiment=row.experiment.name, open=still, job=job, **same)


def list_failed_attempts(
    *, since: datetime, until: datetime, fields: dict[str, str], after: int = 0, limit: int = 100
) -> tuple[list[ListedAttempt], int | None]:
    """Return a page of the failed attempts of a period with these fields, and where the next one goes on.

    `fields` are of code, cause, site and task; the cause `lost` is that of attempts without a report. Raises
    RefusalError for a site or a task that there is not.
    """
    return page_of_attempts(failed_between(since, until, **fields), after, limit)
