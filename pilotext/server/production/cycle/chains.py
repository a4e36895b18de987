"""Tasks in a chain: each published output of their parent becomes the input of a job; one that is produced again
replaces the former.

The outputs without a reader say what is left to do, so that a step that was broken off leaves nothing out and does
nothing twice. A task is locked meanwhile: two cycles cannot make the same job.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from django.db.models import Exists, OuterRef, QuerySet

from pilotext.formatting import counted_words
from pilotext.server.database import transact
from pilotext.server.production.chained_inputs import (
    KEPT,
    facts_of,
    has_ended,
    merges_of,
    not_all_taken,
    published_outputs,
)
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.manual_decisions.resend import resend_jobs
from pilotext.server.production.models import AuditEntry, Job, LeftOutInput, Output, Product, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import JOB, TASK, JobState, OutputState, ProductState, TaskState
from pilotext.server.production.submission.more_jobs import add_jobs
from pilotext.server.production.transitions import Reason, advance, cancel_jobs, hold_tasks, reopen

AT_ONCE = 500

FOLLOWING = (TaskState.READY, TaskState.RUNNING, TaskState.PAUSED, TaskState.DONE)
"""A task in these states takes the outputs of its parent; one that is done runs again for them."""

_AT_WORK = (JobState.SENT, JobState.RUNNING, JobState.VERIFYING)
_BEFORE_WORK = (JobState.DEFINED, JobState.STAGING, JobState.READY)
_PUBLISHED = (ProductState.COPYING, ProductState.KEPT, ProductState.CLEANED)

_WHO = "chains"


def take_inputs() -> int:
    """Outputs that were published since become inputs of jobs; returns how many were taken, and jobs moved."""
    following = Task.objects.filter(not_all_taken(), state__in=FOLLOWING).order_by("pk")
    return collect_failures(list(following.values_list("pk", flat=True)), _take_all)


def _take_all(task: int) -> int:
    done = 0
    while _has_work(task) and (moved := transact(partial(_take_some, task))):
        done += moved
    return done


def _has_work(pk: int) -> bool:
    """Whether there is something to do: going through many outputs must not keep those waiting who write."""
    task = Task.objects.select_related("experiment", "parent").get(pk=pk)
    assert task.parent is not None, "a task in a chain has a parent"
    return has_ended(task.parent) or _to_take(task).exists() or _stale(task, (JobState.READY,)).exists()


def _take_some(pk: int) -> int:
    hold_tasks(Task.objects.filter(pk=pk))
    task = Task.objects.select_related("experiment", "parent").get(pk=pk)
    if task.state not in FOLLOWING or task.parent is None:
        return 0
    ended = has_ended(task.parent)  # before its outputs are read: what it has published by then is seen
    if outputs := list(_to_take(task).select_related("job").order_by("pk")[:AT_ONCE]):
        return _take(task, outputs)
    held = _hold(task)
    return held if held or not ended or _untaken(task).exists() else _close(task, task.parent)


def _to_take(task: Task) -> QuerySet[Output]:
    """Select the outputs that can be taken now: a job that is at work with a former one ends first."""
    busy = Job.objects.filter(task=task, state__in=_AT_WORK, source__name=OuterRef("name"))
    return _untaken(task).filter(~Exists(busy))


def _stale(task: Task, states: Collection[str]) -> QuerySet[Job]:
    """Select the jobs of a task in these states whose input is not valid any more."""
    rows = Job.objects.filter(task=task, state__in=states, source__isnull=False)
    return rows.exclude(source__state=OutputState.VALID)


def _untaken(task: Task) -> QuerySet[Output]:
    """Select the outputs of its parent that no job of a task reads, and that were not left out."""
    parent = task.parent
    assert parent is not None
    return published_outputs(parent, task.input_kind, merged=task.input_merged).filter(
        ~Exists(Job.objects.filter(task=task, source=OuterRef("pk"))),
        ~Exists(LeftOutInput.objects.filter(task=task, file=OuterRef("url"))),
    )


def _take(task: Task, outputs: Sequence[Output]) -> int:
    same = Job.objects.filter(task=task, product="", source__name__in=[output.name for output in outputs])
    known = {job.source.name: job for job in same.select_related("source") if job.source is not None}
    for output in outputs:
        if (job := known.get(output.name)) is not None:
            _replace(task, job, output)
    new = [output for output in outputs if output.name not in known]
    if new:
        _add(task, new)
    return len(outputs)


def _add(task: Task, outputs: Sequence[Output]) -> None:
    """Make a job of each of these outputs, and merge anew the runs that were merged without them."""
    made = add_jobs(task, outputs)
    runs = {run for run in made.runs if run is not None}
    merged = Product.objects.filter(task=task, run__in=runs).exclude(state=ProductState.WAITING)
    if task.state != TaskState.DONE and not merged.exists():
        return
    reason = _decision_on(outputs[-1], "its input was published later")
    if reopen(merged, reason) or made.jobs:
        advance(TASK, Task.objects.filter(pk=task.pk), (TaskState.DONE,), TaskState.RUNNING, reason)


# ------------------------------------------------------------------------------------------------- produced again


def _replace(task: Task, job: Job, output: Output) -> None:
    """Give a job the output that has taken the place of its input, and send it again where that holds something else.

    Nothing that was published for good is replaced by itself: its job waits for a decision.
    """
    before = job.source
    facts = facts_of(profile_of(task.experiment.name), output)
    rows = Job.objects.filter(pk=job.pk)
    cancelled_here = job.state == JobState.CANCELLED and _was_cancelled_here(job)
    rows.update(source=output, file=facts.file, size=facts.size, adler32=facts.adler32 or "", events=facts.events)
    if cancelled_here:
        resend_jobs(rows, _decision_on(output, "its input was published after all"))
        return
    assert before is not None
    if (before.size, before.adler32) == (output.size, output.adler32):
        return
    held = job.state == JobState.FINISHED and _is_published(task, job)
    if job.state in (JobState.MANUAL, JobState.FAILED, JobState.FINISHED) and not held:
        resend_jobs(rows, _decision_on(output, "its input was produced again"))
    elif held:
        why = f"its input {output.name} was produced again, and holds something else, after its outputs were published"
        reason = _decision_on(output, why)
        advance(
            JOB, rows, (JobState.FINISHED,), JobState.MANUAL, reason, diag=f"{why}: resend it, or accept it as it is"
        )
        advance(TASK, Task.objects.filter(pk=task.pk), (TaskState.DONE,), TaskState.RUNNING, reason)


def _is_published(task: Task, job: Job) -> bool:
    """Whether the outputs of a job are published for good: its task is done, or a merged file with them is kept."""
    if task.state == TaskState.DONE:
        return True
    return job.run is not None and Product.objects.filter(task=task, run=job.run, state__in=_PUBLISHED).exists()


def _was_cancelled_here(job: Job) -> bool:
    told = AuditEntry.objects.filter(subject=JOB.name, subject_id=job.pk, after=JobState.CANCELLED).order_by("-pk")
    return told.values_list("who", flat=True).first() == _WHO


def _decision_on(output: Output, what: str) -> Reason:
    """Return the decision by which a job or a merge was done again, as the reason of what follows from it.

    That is the last one on the job or on its merge, else on its task, else the submission of its task.
    """
    decided = AuditEntry.objects.filter(actor="person").order_by("-pk")
    if output.job.product:
        own = decided.filter(subject="product", subject_id=Product.objects.get(groups__job=output.job_id).pk)
    else:
        own = decided.filter(subject=JOB.name, subject_id=output.job_id)
    decision = own.first() or decided.filter(subject=TASK.name, subject_id=output.job.task_id).first()
    who, why = (output.job.task.submitter, "") if decision is None else (decision.who, f": {decision.why}")
    return Reason(who, f"{what} by job {output.job_id}{why}", "person")


def _hold(task: Task) -> int:
    """Jobs whose input is just produced again are not given out before it is there."""
    stale = list(_stale(task, (JobState.READY,)).values_list("pk", flat=True)[:AT_ONCE])
    reason = Reason(_WHO, "its input is produced again", "cycle")
    return len(advance(JOB, Job.objects.filter(pk__in=stale), (JobState.READY,), JobState.DEFINED, reason))


# ------------------------------------------------------------------------------------------------------------ the end


def _close(task: Task, parent: Task) -> int:
    """The parent has ended and all its outputs are taken: jobs whose input will not come are cancelled."""
    stale = list(_stale(task, _BEFORE_WORK).values_list("pk", flat=True)[:AT_ONCE])
    if stale:
        why = f"its input will not come: task {parent.name} is {parent.state}, and did not produce it again"
        return len(cancel_jobs(Job.objects.filter(pk__in=stale), Reason(_WHO, why, "cycle")))
    missing = _missing(task, parent)
    Task.objects.filter(pk=task.pk).update(inputs_seen=parent.changed, inputs_missing=missing)
    return 0


def _missing(task: Task, parent: Task) -> str:
    """Return what the parent did not deliver, in words; empty when it delivered everything."""
    told = []
    if task.input_merged:
        merges = merges_of(profile_of(task.experiment.name), task.input_kind)
        lost = Product.objects.filter(task=parent, merge__in=merges).exclude(state__in=KEPT).count()
        told += [f"{counted_words(lost, 'merged product', 'is')} not kept"] if lost else []
    else:
        lost = parent.jobs.filter(product="").exclude(state=JobState.FINISHED).count()
        told += [f"{counted_words(lost, 'job', 'has')} published no {task.input_kind}"] if lost else []
    if old := _stale(task, (JobState.FINISHED,)).count():
        told.append(f"{counted_words(old, 'finished job', 'has')} read a file that was not published again")
    return ", ".join(told)
