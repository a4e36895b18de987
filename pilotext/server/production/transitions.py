"""The one way to move anything from a state to another: each move names the states that it may begin in, and is one
that its machine grants to who makes it; each has its line in the audit trail.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.models import QuerySet

from pilotext.server.production.models import Attempt, AuditEntry, Job, LogArchive, MergeGroup, Product, Task
from pilotext.server.production.notices.changes import announce_changes
from pilotext.server.production.states import JOB, PRODUCT, Actor, JobState, Machine, ProductState
from pilotext.server.rows import change, insert_rows
from pilotext.server.times import now

M = TypeVar("M", bound=models.Model)

AT_ONCE = 500
"""Rows in one statement: SQLite bounds the variables that a statement may have."""

_TASK_OF: dict[type[models.Model], str] = {
    Task: "pk",
    Job: "task_id",
    Attempt: "task_id",
    Product: "task_id",
    MergeGroup: "product__task_id",
    LogArchive: "task_id",
}


@dataclass(frozen=True)
class Reason:
    """Author and reason of a move.

    `who` is a person's name or a part of the server; by `actor` the machines grant their moves.
    """

    who: str
    why: str
    actor: Actor


def advance(
    machine: Machine,
    rows: models.QuerySet[M],
    sources: Collection[str],
    to: str,
    reason: Reason,
    /,
    **changes: Any,
) -> list[int]:
    """Move those of `rows` that are in one of the states `sources` to the state `to`; returns their ids.

    `changes` are further fields. Done again, it moves nothing: no state is reached from itself. Must be called in a
    transaction; of two that want the same row, the second sees what the first has made of it. Raises MoveError for a
    move that the machine does not grant to this actor.
    """
    machine.check(sources, to, reason.actor)
    assert transaction.get_connection().in_atomic_block, "a move and its line in the audit trail belong together"
    model = rows.model
    task = _TASK_OF.get(model)
    may_move = rows.filter(state__in=sources).select_for_update(of=("self",))
    found = list(may_move.values_list("pk", "state", *([task] if task else [])))
    at = now()
    if hasattr(model, "changed"):
        changes.setdefault("changed", at)
    for some in _chunks(found):
        model._default_manager.filter(pk__in=[row[0] for row in some]).update(state=to, **changes)
    record(machine.name, to, reason, ((row[0], row[1], row[2] if task else None) for row in found), at)
    return [row[0] for row in found]


def advance_one(
    machine: Machine, row: models.Model, sources: Collection[str], to: str, reason: Reason, /, **changes: Any
) -> bool:
    """The same for a row that this transaction has read, which then is what it became.

    Returns False when it is in none of `sources`, or was moved by somebody else meanwhile.
    """
    machine.check(sources, to, reason.actor)
    assert transaction.get_connection().in_atomic_block, "a move and its line in the audit trail belong together"
    before: str = getattr(row, "state")  # noqa: B009  the models of all machines have it
    if before not in sources:
        return False
    at = now()
    if hasattr(row, "changed"):
        changes.setdefault("changed", at)
    if not change(type(row), row.pk, {"state": before}, state=to, **changes):
        return False
    for name, value in {"state": to, **changes}.items():
        setattr(row, name, value)
    task = _TASK_OF.get(type(row))
    record(machine.name, to, reason, [(row.pk, before, getattr(row, task) if task else None)], at)
    return True


def record(
    subject: str, after: str, reason: Reason, rows: Iterable[tuple[int, str, int | None]], at: datetime | None = None
) -> None:
    """Write a line of the audit trail for each row of id, state before, and task, and the notices of this move."""
    at, moved = now() if at is None else at, list(rows)
    same = {"at": at, "who": reason.who, "actor": reason.actor, "subject": subject, "after": after, "why": reason.why}
    lines = [{**same, "subject_id": pk, "task": task, "before": before} for pk, before, task in moved]
    for some in _chunks(lines):
        insert_rows(AuditEntry, some)
    announce_changes(subject, after, reason, moved, at)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(rows), AT_ONCE):
        yield rows[begin : begin + AT_ONCE]


def cancel_jobs(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Cancel jobs that have not ended, and failed ones too where a person does; in a transaction.

    A running attempt is asked to stop at its next heartbeat. Attempts are locked before their jobs, in the order of a
    heartbeat: the other order made PostgreSQL break off one of the two whenever they met.
    """
    list(Attempt.objects.active().filter(job__in=jobs).order_by("pk").select_for_update(of=("self",)).values_list("pk"))
    moved = advance(JOB, jobs, JOB.sources(JobState.CANCELLED, reason.actor), JobState.CANCELLED, reason)
    Attempt.objects.active().filter(job__in=moved).update(stop=reason.why or "cancelled")
    return moved


def reopen(products: QuerySet[Product], reason: Reason) -> list[int]:
    """Merge runs anew: their groups are dissolved by the machine of the merges, which sees the higher round."""
    moved, sources = [], PRODUCT.sources(ProductState.WAITING, reason.actor)
    for product in products.select_for_update(of=("self",)):  # one whose merges are just made is waited for
        mine = Product.objects.filter(pk=product.pk)
        moved += advance(PRODUCT, mine, sources, ProductState.WAITING, reason, round=product.round + 1, events=None)
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
