"""What the audit trail must be whatever happened: for everything with states, a chain that ends where its row is."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import models

from pilotext.server.production.models import (
    Agent,
    Attempt,
    AuditEntry,
    Breaker,
    Job,
    LogArchive,
    MergeGroup,
    Product,
    StagedFile,
    Task,
)
from pilotext.server.production.states import (
    AGENT,
    ARCHIVE,
    ATTEMPT,
    BREAKER,
    GROUP,
    JOB,
    PRODUCT,
    STAGED_FILE,
    TASK,
    Machine,
)

TOLD_OF: dict[type[models.Model], Machine] = {
    Task: TASK,
    Job: JOB,
    Attempt: ATTEMPT,
    Product: PRODUCT,
    MergeGroup: GROUP,
    StagedFile: STAGED_FILE,
    LogArchive: ARCHIVE,
    Agent: AGENT,
    Breaker: BREAKER,
}
"""Every table with states, and the machine by whose name the trail tells of it."""

BEGINS = {Job: ("", "defined", "ready"), Product: ("waiting",), Attempt: ("leased",), Breaker: ("closed",)}
"""States that a row may have before the first line about it: they are told with its task, job, or rule."""


def gaps() -> list[str]:
    """Whatever the trail does not tell of the states in the tables; nothing, if it is whole."""
    return [gap for model, machine in TOLD_OF.items() for gap in _gaps_of(model, machine)]


def _gaps_of(model: type[models.Model], machine: Machine) -> Iterator[str]:
    begins = BEGINS.get(model, ("",))
    for pk, state in model._default_manager.values_list("pk", "state"):
        here: str | None = None
        for before, after, who, why in _lines(machine.name, pk):
            if not who or not why:
                yield f"{machine.name} {pk}: {before} -> {after} says not who or why"
            if not (before == here or (here is None and before in begins) or _told_by_job(model, pk, here, before)):
                yield f"{machine.name} {pk}: from {here} a move begins at {before}"
            here = after
        if not (state == here or (here is None and state in begins) or _told_by_job(model, pk, here, state)):
            yield f"{machine.name} {pk} is {state}; its trail ends at {here}"


def _lines(subject: str, pk: int) -> list[tuple[str, str, str, str]]:
    rows = AuditEntry.objects.filter(subject=subject, subject_id=pk).order_by("pk")
    return list(rows.values_list("before", "after", "who", "why"))


def _told_by_job(model: type[models.Model], pk: int, here: str | None, state: str) -> bool:
    """That an attempt is heard of for the first time is told by a line of its job."""
    if model is not Attempt or (here or "leased", state) != ("leased", "running"):
        return False
    attempt = Attempt.objects.get(pk=pk)
    heard = f"attempt {attempt.number} sent a heartbeat"
    return AuditEntry.objects.filter(subject=JOB.name, subject_id=attempt.job_id, why=heard).exists()
