"""The jobs that somebody has to decide on, with what there is to decide by; and decisions on many jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.models import Count, F

from pilotext.api.schemas.jobs import (
    BulkMove,
    BulkMoved,
    ChosenCount,
    JobQuery,
    MovePreview,
    NotMoved,
    WorkItem,
    WorkList,
)
from pilotext.server.production.lookup import refuse_unknown
from pilotext.server.production.manual_decisions.jobs import hindered, may_move, move_jobs
from pilotext.server.production.models import Attempt, AuditEntry, Job
from pilotext.server.production.states import JobState
from pilotext.server.production.statistics.jobs import choose_jobs, job_row, verdict_in
from pilotext.server.production.transitions import Reason

MAX_EVIDENCE = 3
MAX_FIRST = 10
"""Jobs that a preview shows."""


def worklist(asked: JobQuery) -> WorkList:
    """A page of the jobs in manual check."""
    waiting = choose_jobs(asked).filter(state=JobState.MANUAL, pk__gt=asked.after).select_related("task").order_by("pk")
    found = list(waiting[: asked.limit + 1])
    if not found and not asked.after:
        refuse_unknown(asked)
    page = found[: asked.limit]
    return WorkList(tuple(_items(page)), page[-1].pk if len(found) > asked.limit else None)


def _items(jobs: Sequence[Job]) -> Iterator[WorkItem]:
    ids = [job.pk for job in jobs]
    tries = Attempt.objects.filter(job__in=ids, number=F("job__attempts")).select_related("site", "final_report")
    last = {attempt.job_id: attempt for attempt in tries}
    told = AuditEntry.objects.filter(subject="note", subject_id__in=ids).values_list("subject_id").annotate(Count("pk"))
    notes = dict(told)
    for job in jobs:
        yield _item(job, last.get(job.pk), notes.get(job.pk, 0))


def _item(job: Job, attempt: Attempt | None, notes: int) -> WorkItem:
    kept = getattr(attempt, "final_report", None)
    verdict = verdict_in(kept) if kept is not None else None
    return WorkItem(
        job=job.pk,
        task=job.task.name,
        what=job.product or job.type,
        file=job.file,
        run=job.run,
        chunk=job.chunk,
        since=job.changed,
        assigned=job.assigned,
        attempts=job.attempts,
        site=attempt.site.name if attempt else "",
        node=attempt.node if attempt else "",
        code=job.code,
        cause=job.cause,
        rule=attempt.rule if attempt else "",
        diag=job.diag,
        remedy=verdict.remedy if verdict else "",
        evidence=verdict.evidence[:MAX_EVIDENCE] if verdict else (),
        decision=attempt.decision if attempt else "",
        notes=notes,
    )


def move_many(asked: BulkMove, reason: Reason) -> BulkMoved:
    """Move the next jobs of a choice; in a transaction. Raises RefusalError for a word that there is not."""
    states = may_move(asked.to)
    open_ones = choose_jobs(asked.jobs).filter(pk__gt=asked.after, state__in=states).order_by("pk")
    ids = list(open_ones.values_list("pk", flat=True)[: asked.limit])
    if not ids and not asked.after:
        refuse_unknown(asked.jobs)
    mine = Job.objects.filter(pk__in=ids)
    cannot = hindered(mine, asked.to)
    moved = move_jobs(mine, asked.to, reason)
    left = choose_jobs(asked.jobs).filter(pk__gt=ids[-1], state__in=states).count() if len(ids) == asked.limit else 0
    told = tuple(NotMoved(job, why) for job, why in sorted(cannot.items()))
    return BulkMoved(tuple(sorted(moved)), told, ids[-1] if left else None, left)


def preview_many(asked: BulkMove) -> BulkMoved:
    """Return the effect of a decision on all jobs of a choice; nothing is moved. Raises RefusalError as `move_many`.

    Whether a job is hindered is looked at for the first ones only.
    """
    states = may_move(asked.to)
    grouped = choose_jobs(asked.jobs).order_by("task", "state").values_list("task__name", "state").annotate(Count("pk"))
    counts = tuple(ChosenCount(task, state, number, state in states) for task, state, number in grouped)
    if not counts:
        refuse_unknown(asked.jobs)
    rows = choose_jobs(asked.jobs).filter(state__in=states).select_related("task").order_by("pk")
    first = list(rows[:MAX_FIRST])
    cannot = hindered(Job.objects.filter(pk__in=[row.pk for row in first]), asked.to)
    preview = MovePreview(sum(each.jobs for each in counts if each.moves), counts, tuple(map(job_row, first)))
    return BulkMoved((), tuple(NotMoved(job, why) for job, why in sorted(cannot.items())), None, preview.jobs, preview)
