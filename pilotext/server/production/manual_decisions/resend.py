"""Running jobs again by a decision, and what that means for the merges of their runs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery

from pilotext.formatting import counted_words
from pilotext.server.production.models import Attempt, AvoidedPlace, Job, Output, Product, Task
from pilotext.server.production.states import (
    JOB,
    TASK,
    JobState,
    MergeGroupState,
    ProductState,
    TaskState,
)
from pilotext.server.production.transitions import Reason, advance, hold_tasks, leave_out, reopen
from pilotext.server.times import EPOCH

ENDED = (JobState.FINISHED, JobState.FAILED, JobState.MANUAL, JobState.CANCELLED)


def hindrances(jobs: QuerySet[Job]) -> dict[int, str]:
    """Of these jobs, those that cannot be sent again now, with the reason."""
    # The task would run again, and with it whatever the cycle has not cancelled so far.
    left = Job.objects.filter(task=OuterRef("task"), state__in=JOB.sources(JobState.CANCELLED, "cycle"))
    ending = Q(Exists(left), task__state=TaskState.CANCELLED)
    over = Q(task__state__in=(TaskState.ARCHIVING, TaskState.ARCHIVED)) | Q(task__successor__isnull=False)
    held = jobs.filter(over | ending | Q(group__state=MergeGroupState.DISSOLVED))
    told = held.values_list("pk", "task__state", "task__name", "task__successor__name", "group__state")
    return {pk: _why(*facts) for pk, *facts in told} | _cleaned(jobs)


def _why(state: str, task: str, successor: str | None, group: str | None) -> str:
    if group == MergeGroupState.DISSOLVED:
        return "it belongs to an earlier merge of its run, which has been merged again"
    if successor is not None:
        return f"its task {task} was replaced by {successor}, which owns its published names now"
    if state == TaskState.CANCELLED:
        return f"its task {task} is just being cancelled; ask again in a moment"
    return f"its task {task} is {state}"


def _cleaned(jobs: QuerySet[Job]) -> dict[int, str]:
    """Jobs of runs whose chunk files are gone: the merge needs all of them again, not one."""
    gone = Product.objects.filter(state=ProductState.CLEANED, task__in=jobs.values("task"))
    runs = set(gone.values_list("task_id", "run"))
    asked: defaultdict[tuple[int, int | None], list[int]] = defaultdict(list)
    for pk, task, run in jobs.filter(product="", task__in={task for task, _ in runs}).values_list(
        "pk", "task_id", "run"
    ):
        asked[task, run].append(pk)
    cleaned = {key: mine for key, mine in asked.items() if key in runs}
    chunks = Job.objects.filter(product="", task__in={task for task, _ in cleaned}, run__in={run for _, run in cleaned})
    all_of = {(task, run): number for task, run, number in chunks.values_list("task_id", "run").annotate(Count("pk"))}
    found = {}
    for (task, run), mine in cleaned.items():
        if others := all_of[task, run] - len(mine):
            rest = counted_words(others, "other job")
            why = f"the chunk files of run {run} were removed after its merge: send its {rest} again as well"
            found.update(dict.fromkeys(mine, why))
    return found


def resend_jobs(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Run jobs again that have ended or wait for a decision, but for those with hindrances; in a transaction.

    Their attempts count anew. A run that they belong to is merged anew, and their task runs again. A merge that had
    succeeded is made anew from its files.
    """
    hold_tasks(Task.objects.filter(pk__in=jobs.values("task")))
    again = jobs.filter(state__in=ENDED)
    again = again.exclude(pk__in=list(hindrances(again)))
    merged = list(again.exclude(product="").filter(state=JobState.FINISHED).values_list("pk", flat=True))
    again = again.exclude(pk__in=merged)
    fresh: dict[str, Any] = {"charged": 0, "since": F("attempts"), "not_before": EPOCH, "assigned": ""}
    fresh |= {"code": "", "cause": "", "diag": "", "events_done": None, "events_skipped": None}
    staging = advance(JOB, again.filter(task__staging=True, product=""), ENDED, JobState.DEFINED, reason, **fresh)
    ready = advance(JOB, again, ENDED, JobState.READY, reason, **fresh)  # but for those that were just moved
    moved = [*staging, *ready]
    AvoidedPlace.objects.filter(job__in=moved).delete()
    _wait_for_the_end_of_attempts(moved)
    Output.objects.filter(job__in=moved).supersede()
    _merge_anew(Job.objects.filter(pk__in=moved, product=""), reason)
    reopen(Product.objects.filter(groups__job__in=merged), reason)
    tasks = set(Job.objects.filter(pk__in=[*moved, *merged]).values_list("task_id", flat=True))
    advance(TASK, Task.objects.filter(pk__in=tasks), (TaskState.DONE, TaskState.CANCELLED), TaskState.RUNNING, reason)
    return [*moved, *merged]


def merge_with(jobs: QuerySet[Job], reason: Reason) -> None:
    """Runs that were merged without these production jobs, by decision, are merged anew with them; in a transaction."""
    for job in jobs.filter(product="").exclude(run=None):
        same = Product.objects.filter(task=job.task_id, run=job.run or 0).exclude(left_out=[])
        without = [each.pk for each in same.select_for_update() if job.pk in each.left_out]
        for product in Product.objects.filter(pk__in=without):
            leave_out(product, [left for left in product.left_out if left != job.pk], reason)
        if reopen(Product.objects.filter(pk__in=without), reason):
            advance(TASK, Task.objects.filter(pk=job.task_id), (TaskState.DONE,), TaskState.RUNNING, reason)


def _wait_for_the_end_of_attempts(jobs: list[int]) -> None:
    """A job that was cancelled may be at work still, until its worker hears of it; nobody else gets it before."""
    at_work = Attempt.objects.active().filter(job=OuterRef("pk"))
    until = Subquery(at_work.values("lease_until")[:1])
    Job.objects.filter(Exists(at_work), pk__in=jobs).update(not_before=until)


def _merge_anew(jobs: QuerySet[Job], reason: Reason) -> None:
    """The runs of these production jobs wait for them again, also where it was decided to merge without them."""
    runs: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for pk, task, run in jobs.exclude(run=None).values_list("pk", "task_id", "run"):
        runs[task, run or 0].add(pk)
    for (task, run), mine in runs.items():
        products = Product.objects.filter(task=task, run=run)
        reopen(products, reason)
        for product in products.exclude(left_out=[]):
            leave_out(product, [job for job in product.left_out if job not in mine], reason)
