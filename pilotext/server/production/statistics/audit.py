"""Pages of the audit trail."""

from __future__ import annotations

from django.db.models import QuerySet

from pilotext.api.schemas.audit import AuditQuery, AuditRow, AuditTrail
from pilotext.server.production.models import (
    AuditEntry,
    Task,
)
from pilotext.server.production.refusal import RefusalError
from pilotext.server.times import from_seconds, record_fields

ANYBODY = "person:"
"""In place of a name: whatever a person did."""

SIGNED_BY = ("person", "agent", "pilot")
"""Kinds of names in the audit trail, before the colon; parts of the server have none, and lines of old versions."""


def list_audit_entries(asked: AuditQuery) -> AuditTrail:
    """A page of the audit trail, the newest first; `before` is the number of the event where it goes on."""
    rows = _chosen(asked)
    if asked.before is not None:
        rows = rows.filter(pk__lt=asked.before)
    found = list(rows[: asked.limit + 1])
    page = found[: asked.limit]
    return AuditTrail(tuple(event_row(event) for event in page), page[-1].pk if len(found) > asked.limit else None)


def count_audit_entries(asked: AuditQuery, most: int) -> int:
    """Return the number of all events of a choice, whatever its page; counted up to `most`."""
    return _chosen(asked)[:most].count()


def _chosen(asked: AuditQuery) -> QuerySet[AuditEntry]:
    task, who = asked.task, asked.who
    rows = AuditEntry.objects.order_by("-pk")
    if task is not None:
        if not Task.objects.filter(pk=task).exists():
            raise RefusalError("not-found", f"there is no task {task}.")
        rows = rows.filter(task=task)
    if who == ANYBODY:
        rows = rows.filter(actor="person")
    elif who is not None:
        rows = rows.filter(who__in=[who] if ":" in who else [who, *(f"{kind}:{who}" for kind in SIGNED_BY)])
    if asked.subject is not None:
        rows = rows.filter(subject=asked.subject)
    if asked.since is not None:
        rows = rows.filter(at__gte=from_seconds(asked.since))
    if asked.until is not None:
        rows = rows.filter(at__lt=from_seconds(asked.until))
    return rows


def event_row(event: AuditEntry) -> AuditRow:
    return AuditRow(**record_fields(event, AuditRow.__struct_fields__))
