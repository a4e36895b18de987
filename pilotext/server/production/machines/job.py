"""Jobs: what people decide about them, and what the cycle does without being asked."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance
from pilotext.server.production.models import Attempt, Job, Output, Product, Task
from pilotext.server.production.states import ACTIVE_ATTEMPT, JOB, PRODUCT, TASK

AT_ONCE = 2000


def ready_without_staging() -> int:
    """Defined jobs of running tasks that read nothing from tape may be given out; merges never do."""
    done = 0
    while moved := transact(_ready_some):
        done += moved
    return done


def _ready_some() -> int:
    on_disk = Q(task__staging=False) | ~Q(product="")
    ids = Job.objects.filter(on_disk, task__state="running", state="defined").values_list("pk", flat=True)
    rows = Job.objects.filter(pk__in=list(ids[:AT_ONCE]))
    return len(advance(JOB, rows, "ready", Reason("cycle", "its input needs no staging")))


def cancel_jobs(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Cancel jobs that have not ended; in a transaction. An attempt that runs is told to stop by its next heartbeat."""
    moved = advance(JOB, jobs, "cancelled", reason)
    Attempt.objects.filter(job__in=moved, state__in=ACTIVE_ATTEMPT).update(stop=reason.why or "cancelled")
    return moved


def resend_jobs(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Run jobs again that have ended or wait for a decision; in a transaction.

    Their attempts count anew. A run that they belong to is merged anew when it was merged, and their task runs again.
    """
    again = jobs.filter(state__in=("finished", "failed", "manual", "cancelled"))
    fresh = {"charged": 0, "not_before": 0.0, "avoid": {}, "code": "", "cause": "", "diag": ""}
    staging = advance(JOB, again.filter(task__staging=True), "defined", reason, **fresh)
    moved = [*staging, *advance(JOB, again.filter(task__staging=False), "ready", reason, **fresh)]
    Output.objects.filter(job__in=moved, state="valid").update(state="superseded")
    rows = Job.objects.filter(pk__in=moved)
    for task, run in set(rows.filter(product="").values_list("task_id", "run")):
        if run is not None:
            reopen(Product.objects.filter(task_id=task, run=run), reason)
    tasks = set(rows.values_list("task_id", flat=True))
    advance(TASK, Task.objects.filter(pk__in=tasks, state__in=("done", "cancelled")), "running", reason)
    return moved


def reopen(products: QuerySet[Product], reason: Reason) -> list[int]:
    """Merge runs anew: their groups are dissolved by the machine of the merges, which sees the higher round."""
    moved = []
    for product in products.exclude(state="waiting").select_for_update():
        moved += advance(
            PRODUCT, Product.objects.filter(pk=product.pk), "waiting", reason, round=product.round + 1, events=None
        )
    return moved
