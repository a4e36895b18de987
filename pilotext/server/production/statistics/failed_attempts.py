"""Pages of failed attempts, the newest first, by the same choice as their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from pilotext.server.production.models import Attempt, Site, Task
from pilotext.server.production.statistics.errors import failed_between


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt that has failed or was lost."""

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
    ended: float | None


def list_failed_attempts(
    *, since: float, until: float, fields: dict[str, str], after: int = 0, limit: int = 100
) -> tuple[list[FailedAttempt], int | None]:
    """Return a page of the failed attempts of a period with these fields, and where the next one goes on.

    `fields` are of code, cause, site and task; the cause `lost` is that of attempts without a report. Raises
    RefusalError for a site or a task that there is not.
    """
    rows = failed_between(since, until, **fields)
    if after:
        rows = rows.filter(pk__lt=after)
    found = list(rows.select_related("job").order_by("-pk")[: limit + 1])
    page = found[:limit]
    sites = dict(Site.objects.filter(pk__in={row.site_id for row in page}).values_list("pk", "name"))
    tasks = dict(Task.objects.filter(pk__in={row.task_id for row in page}).values_list("pk", "name"))
    return [_row(row, sites, tasks) for row in page], page[-1].pk if len(found) > limit else None


def _row(row: Attempt, sites: dict[int, str], tasks: dict[int, str]) -> FailedAttempt:
    same = ("number", "node", "state", "code", "rule", "diag", "ended")
    return FailedAttempt(
        attempt=row.pk,
        job=row.job_id,
        task=tasks[row.task_id],
        run=row.job.run,
        site=sites[row.site_id],
        cause=row.cause or "lost",
        **{name: getattr(row, name) for name in same},
    )
