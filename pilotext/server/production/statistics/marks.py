"""Marks by which a reader sees that something has moved: the last line of the audit trail and the last job."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import OuterRef, QuerySet, Subquery

from pilotext.server.production.models import AuditEntry, Job, Task

Marks = tuple[object, ...]


def with_last(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Return these tasks, each with its last line of the audit trail and its last job."""
    mine = OuterRef("pk")
    return tasks.annotate(**_last(AuditEntry.objects.filter(task=mine), Job.objects.filter(task=mine)))


def with_marks(users: QuerySet[User]) -> QuerySet[User]:
    """Return these users, each with the last line of the whole audit trail and the last of all jobs."""
    return users.annotate(**_last(AuditEntry.objects.all(), Job.objects.all()))


def marks_of(row: object) -> Marks:
    """Return the marks that a row came with; nothing for one that came without."""
    return (getattr(row, "last_entry"), getattr(row, "last_job")) if hasattr(row, "last_entry") else ()  # noqa: B009


def _last(entries: QuerySet[AuditEntry], jobs: QuerySet[Job]) -> dict[str, Subquery]:
    entry, job = (each.order_by("-pk").values("pk")[:1] for each in (entries, jobs))
    return {"last_entry": Subquery(entry), "last_job": Subquery(job)}
