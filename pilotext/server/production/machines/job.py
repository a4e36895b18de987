"""Jobs: what people decide about them, and what the cycle does without being asked."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance, record
from pilotext.server.production.models import Attempt, Job, Product, Task
from pilotext.server.production.states import ACTIVE_ATTEMPT, JOB, PRODUCT

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
    return len(advance(JOB, rows, ("defined",), "ready", Reason("cycle", "its input needs no staging", "cycle")))


def cancel_jobs(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Cancel jobs that have not ended, and failed ones too where a person does; in a transaction.

    An attempt that runs is told to stop by its next heartbeat.
    """
    moved = advance(JOB, jobs, JOB.sources("cancelled", reason.actor), "cancelled", reason)
    Attempt.objects.filter(job__in=moved, state__in=ACTIVE_ATTEMPT).update(stop=reason.why or "cancelled")
    return moved


def reopen(products: QuerySet[Product], reason: Reason) -> list[int]:
    """Merge runs anew: their groups are dissolved by the machine of the merges, which sees the higher round."""
    moved, sources = [], PRODUCT.sources("waiting", reason.actor)
    for product in products.select_for_update(of=("self",)):  # one whose merges are just made is waited for
        mine = Product.objects.filter(pk=product.pk)
        moved += advance(PRODUCT, mine, sources, "waiting", reason, round=product.round + 1, events=None)
    return moved


def hold_tasks(tasks: QuerySet[Task]) -> None:
    """Keep these tasks from being done before this transaction, which opens jobs or products of theirs, has ended."""
    list(tasks.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def leave_out(product: Product, jobs: list[int], reason: Reason) -> None:
    """Merge a run without these jobs and no others, by a decision; in a transaction."""
    if jobs == product.left_out:
        return
    Product.objects.filter(pk=product.pk).update(left_out=jobs)
    which = f"without job {', '.join(map(str, jobs))}" if jobs else "with all jobs again"
    record(
        PRODUCT.name,
        product.state,
        Reason(reason.who, f"{which}: {reason.why}", reason.actor),
        [(product.pk, product.state, product.task_id)],
    )
