"""Tasks: those whose work is over become done by themselves; what is cancelled ends its jobs, until it is resumed."""

from __future__ import annotations

from functools import partial

from django.db.models import Exists, OuterRef, Q

from pilotext.server.database import transact
from pilotext.server.production.chained_inputs import all_taken
from pilotext.server.production.manual_decisions.resend import resend_jobs
from pilotext.server.production.models import AuditEntry, Job, Product, Task
from pilotext.server.production.states import TASK, JobState, MergeGroupState, ProductState, TaskState
from pilotext.server.production.transitions import Reason, advance, cancel_jobs

OPEN_PRODUCT = (
    ProductState.WAITING,
    ProductState.MERGING,
    ProductState.MERGED,
    ProductState.CHECKED,
    ProductState.COPYING,
    ProductState.MANUAL,
)

AT_ONCE = 2000


def finish_tasks() -> int:
    """Running and paused tasks without anything left to do are done; one in a chain not before its parent has ended."""
    return transact(_finish)


def _finish() -> int:
    mine = OuterRef("pk")
    # Held first: of one that somebody takes up again just now, the jobs that are open again have to be seen.
    going_on = (
        Task.objects.select_for_update(no_key=True, skip_locked=True)
        .filter(state__in=(TaskState.RUNNING, TaskState.PAUSED))
        .order_by("pk")
    )
    over = Task.objects.filter(
        ~Exists(Job.objects.open().filter(task=mine)),
        ~Exists(Product.objects.filter(task=mine, state__in=OPEN_PRODUCT)),
        Exists(Job.objects.filter(task=mine)) | ~Q(input_kind=""),
        all_taken(),
        pk__in=list(going_on.values_list("pk", flat=True)),
    )
    reason = Reason("cycle", "all its jobs have ended and all its products are kept", "cycle")
    rows = Task.objects.filter(pk__in=list(over.values_list("pk", flat=True)))
    return len(advance(TASK, rows, (TaskState.RUNNING, TaskState.PAUSED), TaskState.DONE, reason))


def end_cancelled() -> int:
    """Jobs of cancelled tasks are cancelled; running attempts are asked to stop at their next heartbeat."""
    done = 0
    while moved := transact(_end_some):
        done += moved
    return done


def _end_some() -> int:
    left = Job.objects.open().filter(task=OuterRef("pk"))
    # Held, so that none is resumed in between and left with jobs that are cancelled after it went on.
    found = Task.objects.select_for_update(no_key=True).filter(Exists(left), state=TaskState.CANCELLED)
    tasks = list(found.values_list("pk", flat=True))
    ids = Job.objects.open().filter(task__in=tasks).values_list("pk", flat=True)[:AT_ONCE]
    jobs = Job.objects.filter(pk__in=list(ids))
    return len(cancel_jobs(jobs, Reason("cycle", "its task was cancelled", "cycle")))


def take_up_again() -> int:
    """Cancelled tasks that somebody resumed: the jobs that were cancelled with them are sent again, then they run."""
    done = 0
    for task in Task.objects.filter(state=TaskState.DRAFT).values_list("pk", flat=True):
        while moved := transact(partial(_take_up_some, task)):
            done += moved
    return done


def _take_up_some(task: int) -> int:
    mine = Task.objects.select_for_update().filter(pk=task, state=TaskState.DRAFT)
    told = AuditEntry.objects.filter(subject="task", subject_id=task).order_by("-pk")
    # One that was cancelled again while it was taken up has still to take up all of it.
    went_on = told.exclude(after__in=(TaskState.CANCELLED, TaskState.DRAFT)).values_list("pk", flat=True).first() or 0
    cancelled, resumed = (
        told.filter(after=TaskState.CANCELLED, pk__gt=went_on).last(),
        told.filter(after=TaskState.DRAFT).first(),
    )
    if cancelled is None or resumed is None or not mine.exists():
        return 0
    since = AuditEntry.objects.filter(
        subject="job", subject_id=OuterRef("pk"), after=JobState.CANCELLED, pk__gt=cancelled.pk
    )
    left = Job.objects.filter(Exists(since), task=task, state=JobState.CANCELLED).exclude(
        group__state=MergeGroupState.DISSOLVED
    )
    reason = Reason(resumed.who, f"its task was resumed: {resumed.why}", "person")
    ids = list(left.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    if moved := resend_jobs(Job.objects.filter(pk__in=ids), reason):
        return len(moved)
    advance(
        TASK,
        mine,
        (TaskState.DRAFT,),
        TaskState.READY,
        Reason("cycle", "the jobs that were cancelled with it are there again", "cycle"),
    )
    if not told.filter(after=TaskState.RUNNING).exists():  # nobody has started it so far
        return 1
    return len(advance(TASK, Task.objects.filter(pk=task), (TaskState.READY,), TaskState.RUNNING, reason))
