"""The one way to move anything from a state to another: allowed moves only, each with its line in the audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import models, transaction

from pilotext.server.production.models import Attempt, Event, Job, LogArchive, MergeGroup, Product, Task
from pilotext.server.production.models.common import now
from pilotext.server.production.states import Machine
from pilotext.server.rows import change, insert_rows

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
    """Who moves something, a person or a part of the server, and why."""

    who: str
    why: str


def advance(machine: Machine, rows: models.QuerySet[M], to: str, reason: Reason, /, **changes: Any) -> list[int]:
    """Move those of `rows` that may move to the state `to`, with further `changes`; returns their ids.

    Done again, it moves nothing: what is there already cannot move there once more. Must be called in a transaction; of
    two that want the same row, the second sees what the first has made of it.
    """
    assert transaction.get_connection().in_atomic_block, "a move and its line in the audit trail belong together"
    model = rows.model
    task = _TASK_OF.get(model)
    may_move = rows.filter(state__in=machine.sources(to)).select_for_update(of=("self",))
    found = list(may_move.values_list("pk", "state", *([task] if task else [])))
    at = now()
    if hasattr(model, "changed"):
        changes.setdefault("changed", at)
    for some in _chunks(found):
        model._default_manager.filter(pk__in=[row[0] for row in some]).update(state=to, **changes)
    record(machine.name, to, reason, ((row[0], row[1], row[2] if task else None) for row in found), at)
    return [row[0] for row in found]


def advance_one(machine: Machine, row: models.Model, to: str, reason: Reason, /, **changes: Any) -> bool:
    """The same for a row that this transaction has read, which then is what it became.

    Returns False when it may not move, or was moved by somebody else meanwhile.
    """
    assert transaction.get_connection().in_atomic_block, "a move and its line in the audit trail belong together"
    before: str = getattr(row, "state")  # noqa: B009  the models of all machines have it
    if to not in machine.moves[before]:
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
    subject: str, after: str, reason: Reason, rows: Iterable[tuple[int, str, int | None]], at: float | None = None
) -> None:
    """Write a line of the audit trail for each row of id, state before, and task."""
    at = now() if at is None else at
    same = {"at": at, "who": reason.who, "subject": subject, "after": after, "why": reason.why}
    lines = [{**same, "subject_id": pk, "task": task, "before": before} for pk, before, task in rows]
    for some in _chunks(lines):
        insert_rows(Event, some)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(rows), AT_ONCE):
        yield rows[begin : begin + AT_ONCE]
