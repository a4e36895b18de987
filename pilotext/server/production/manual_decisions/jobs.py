"""Decisions of people on jobs, by the words of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from pilotext.errors import UsageError
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.server.production.expected_files import expected_files
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.lookup import no_such_word
from pilotext.server.production.manual_decisions.resend import ENDED, hindrances, merge_with, resend_jobs
from pilotext.server.production.models import Attempt, Job, Output, Product, Task
from pilotext.server.production.published_names import replaced_by
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.success import NOT_PUBLISHED, outputs_of, why_elsewhere
from pilotext.server.production.states import JOB, JobState, OutputState, TaskState
from pilotext.server.production.transitions import Reason, advance, cancel_jobs, hold_tasks, record
from pilotext.server.rows import insert_rows
from pilotext.server.times import EPOCH, now

ACCEPTED_FROM = (JobState.MANUAL, JobState.FAILED)

REPORTS_AT_ONCE = 250
"""Final reports that are read together: most have some kilobytes, the largest one megabyte."""

WAITING = (JobState.DEFINED, JobState.STAGING, JobState.READY)
HURRIED = 1_000_000
"""Priority of a job that goes before all others; a task adds at most 100 000 to that of its types."""

NO_OUTPUTS = "its last attempt has not published its outputs: resend it, or fail it"
WITHOUT_IT = ", and have its run merged without it"


def move_job(job: int, word: str, reason: Reason) -> list[int]:
    """Resend, accept (as finished), fail, cancel or hurry a job.

    Raises RefusalError for another word, no such job, or with the reason why just this cannot be done.
    """
    if word not in JOB_WORDS:
        raise no_such_word(word, list(JOB_WORDS))
    rows = Job.objects.filter(pk=job)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no job {job}.")
    if why := hindered(rows, word).get(job):
        raise RefusalError("conflict", f"job {job} cannot be moved: {why}.")
    return move_jobs(rows, word, reason)


def move_jobs(jobs: QuerySet[Job], word: str, reason: Reason) -> list[int]:
    """The same for many; those that cannot be moved stay as they are. Returns the ids of the others."""
    return JOB_WORDS[word](jobs, reason)


def hindered(jobs: QuerySet[Job], word: str) -> dict[int, str]:
    """Of these jobs, those in the right state that cannot be moved all the same, with the reason."""
    if word == "resend":
        return hindrances(jobs.filter(state__in=ENDED))
    if word == "accept":
        accepting = _Accepting(jobs)
        return {job.pk: why for job, last in accepting.tries() if (why := accepting.hindrance(job, last))}
    return {}


def may_move(word: str) -> tuple[str, ...]:
    """The states from which a job can be moved by this word. Raises RefusalError for another word."""
    if word not in JOB_WORDS:
        raise no_such_word(word, list(JOB_WORDS))
    if word == "resend":
        return ENDED
    known = {"cancel": JOB.sources(JobState.CANCELLED, "person"), "accept": ACCEPTED_FROM, "hurry": WAITING}
    return known.get(word, (JobState.MANUAL,))


def _fail(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    return advance(JOB, jobs, (JobState.MANUAL,), JobState.FAILED, reason)


def _hurry(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Let jobs go before all others, without the wait after a failure; those that do so already are left out.

    A job whose former attempt is still at work waits for its end all the same.
    """
    behind = jobs.filter(Q(priority__lt=HURRIED) | Q(not_before__gt=now()), state__in=WAITING)
    rows = list(behind.order_by("pk").select_for_update(of=("self",)).values_list("pk", "priority", "task_id"))
    mine = Job.objects.filter(pk__in=[pk for pk, _, _ in rows])
    mine.update(priority=HURRIED)
    mine.exclude(Exists(Attempt.objects.active().filter(job=OuterRef("pk")))).update(not_before=EPOCH)
    record("priority", str(HURRIED), reason, [(pk, str(priority), task) for pk, priority, task in rows])
    return [pk for pk, _, _ in rows]


def _accept(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Take jobs as finished; their outputs are those that the last attempt published."""
    hold_tasks(Task.objects.filter(pk__in=jobs.values("task")))
    moved = []
    accepting = _Accepting(jobs)
    for job, last in accepting.tries():
        if accepting.hindrance(job, last):
            continue
        Output.objects.valid().filter(job=job).update(state=OutputState.SUPERSEDED, group=None)
        insert_rows(Output, [] if last is None else published_by(job, last))
        moved += advance(JOB, Job.objects.filter(pk=job.pk), ACCEPTED_FROM, JobState.FINISHED, reason, assigned="")
    merge_with(Job.objects.filter(pk__in=moved), reason)
    return moved


class _Accepting:
    """Jobs that are to be accepted, with what their last attempts published: a few queries for all of them."""

    def __init__(self, jobs: QuerySet[Job]) -> None:
        chosen = jobs.filter(state__in=ACCEPTED_FROM)
        self.jobs = list(chosen.select_related("task__experiment", "task__successor"))
        tasks, runs = {job.task_id for job in self.jobs}, {job.run for job in self.jobs if job.run is not None}
        of_runs = Product.objects.filter(task__in=tasks, run__in=runs)
        self._merged = set(of_runs.values_list("task_id", "run"))

    def tries(self) -> Iterator[tuple[Job, Attempt | None]]:
        """Yield each job with its last attempt if that has a report; no more than a batch of reports is in memory."""
        for begin in range(0, len(self.jobs), REPORTS_AT_ONCE):
            yield from _tries_of(self.jobs[begin : begin + REPORTS_AT_ONCE])

    def hindrance(self, job: Job, last: Attempt | None) -> str:
        """Return why a job cannot count as finished: its run would be merged without its events, unnoticed."""
        if job.task.state in (TaskState.ARCHIVING, TaskState.ARCHIVED):
            return f"its task {job.task.name} is {job.task.state}"
        successor: Task | None = getattr(job.task, "successor", None)
        if successor is not None:
            return replaced_by(job.task, successor.name)
        try:
            return without_outputs(job, last, merged=(job.task_id, job.run) in self._merged)
        except UsageError as error:
            return f"its profile cannot make it any more: {error}"


def _tries_of(jobs: Sequence[Job]) -> Iterator[tuple[Job, Attempt | None]]:
    ids = [job.pk for job in jobs]
    tries = Attempt.objects.filter(job__in=ids, number=F("job__attempts"), final_report__isnull=False)
    last = {attempt.job_id: attempt for attempt in tries.select_related("final_report")}
    for job in jobs:
        yield job, last.get(job.pk)


def without_outputs(job: Job, last: Attempt | None, *, merged: bool) -> str:
    """Return why a job has no outputs to be accepted with; empty when its last attempt published all that it must have.

    `merged` says that its run is merged. Raises UsageError when the profile cannot make the job (any more).
    """
    if last is not None and published_by(job, last):
        return ""
    if not (merged or job.product):
        expected = build_job(job.task, job, max(job.attempts, 1)).outputs
        return NO_OUTPUTS if any(output.destinations for output in expected) else ""
    return NO_OUTPUTS if job.product else NO_OUTPUTS + WITHOUT_IT


def published_by(job: Job, last: Attempt) -> list[dict[str, Any]]:
    """Return the outputs of a job as its last attempt published them; empty where not all of them are known."""
    if last.rule in NOT_PUBLISHED:
        return []
    report = from_json(last.final_report.report, Report)
    last.job, last.task = job, job.task  # they come with the job: no query is needed for them
    expected = expected_files(last).by_name
    if not expected.keys() <= {file.name for file in report.outputs} or why_elsewhere(report, expected):
        return []
    return list(outputs_of(last, report, expected, job.task))


JOB_WORDS: dict[str, Callable[[QuerySet[Job], Reason], list[int]]] = {
    "resend": resend_jobs,
    "accept": _accept,
    "fail": _fail,
    "cancel": cancel_jobs,
    "hurry": _hurry,
}


def assign(job: int, to: str, reason: Reason) -> None:
    """Say who looks into a job; empty: nobody. Raises RefusalError when there is no such job."""
    row = _job(job)
    Job.objects.filter(pk=job).update(assigned=to)
    told = [(job, row.assigned, row.task_id)]
    record("assigned", to, reason, told)


def note(job: int, reason: Reason) -> None:
    """Write down a note on a job, for whoever looks at it next. Raises RefusalError when there is no such job."""
    row = _job(job)
    record("note", row.state, reason, [(job, row.state, row.task_id)])


def _job(job: int) -> Job:
    row = Job.objects.select_for_update().filter(pk=job).first()
    if row is None:
        raise RefusalError("not-found", f"there is no job {job}.")
    return row
