"""The jobs that somebody has to decide on, with what there is to decide by; and decisions on many jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.models import Count, F, QuerySet

from pilotext.api.schemas.jobs import BulkMove, BulkMoved, JobFilter, JobQuery, NotMoved, WorkItem, WorkList
from pilotext.server.production.lookup import refuse_unknown
from pilotext.server.production.manual_decisions.jobs import hindered, may_move, move_jobs
from pilotext.server.production.models import Attempt, AuditEntry, Job
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JobState
from pilotext.server.production.statistics.job_choice import choose_jobs
from pilotext.server.production.statistics.jobs import page_of, verdict_in
from pilotext.server.production.transitions import Reason, record
from pilotext.server.times import to_seconds

MAX_EVIDENCE = 3
MAX_AT_ONCE = 2000
"""Jobs that are assigned, or get a note, together."""


def worklist(asked: JobQuery) -> WorkList:
    """A page of the jobs in manual check."""
    waiting = page_of(choose_jobs(asked).filter(state=JobState.MANUAL), asked)
    found = list(waiting.select_related("task")[: asked.limit + 1])
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
        since=to_seconds(job.changed),
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


def assign_many(jobs: JobFilter, to: str, reason: Reason) -> list[int]:
    """Assign the jobs of a choice that wait for a decision to somebody, or to nobody; in a transaction."""
    rows = list(_waiting(jobs).exclude(assigned=to).values_list("pk", "assigned", "task_id"))
    Job.objects.filter(pk__in=[pk for pk, _, _ in rows]).update(assigned=to)
    record("assigned", to, reason, rows)
    return [pk for pk, _, _ in rows]


def note_many(jobs: JobFilter, reason: Reason) -> list[int]:
    """Write a note on the jobs of a choice that wait for a decision; in a transaction."""
    rows = list(_waiting(jobs).values_list("pk", "state", "task_id"))
    record("note", JobState.MANUAL, reason, rows)
    return [pk for pk, _, _ in rows]


def _waiting(jobs: JobFilter) -> QuerySet[Job]:
    """Return the first jobs of a choice that wait for a decision. Raises RefusalError where there are too many."""
    waiting = choose_jobs(jobs).filter(state=JobState.MANUAL)
    ids = list(waiting.order_by("pk").values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
    if not ids:
        refuse_unknown(jobs)
    if len(ids) > MAX_AT_ONCE:
        raise RefusalError("invalid", f"this is about more than {MAX_AT_ONCE} jobs; choose fewer, by task or run.")
    return Job.objects.filter(pk__in=ids).select_for_update(of=("self",))
