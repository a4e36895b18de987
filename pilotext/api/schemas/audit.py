"""The audit trail."""

from __future__ import annotations

from pilotext.api.schemas.fields import Id, Limit, Time
from pilotext.model import Record


class AuditQuery(Record, frozen=True):
    """Choice of lines; `who` may be a name alone, or with its kind, as `person:maria`."""

    task: Id | None = None
    who: str | None = None
    subject: str | None = None
    since: Time | None = None
    until: Time | None = None
    before: Id | None = None
    limit: Limit = 100


class AuditRow(Record, frozen=True):
    """A line of the audit trail."""

    at: float
    who: str
    subject: str
    subject_id: int
    before: str
    after: str
    why: str


class AuditTrail(Record, frozen=True):
    """A part of the audit trail, the newest first."""

    events: tuple[AuditRow, ...]
    next: int | None
