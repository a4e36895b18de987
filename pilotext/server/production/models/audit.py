"""Records of the server's own operation."""

from __future__ import annotations

from django.db import models

from pilotext.server.times import now


class AuditEntry(models.Model):
    """One line of the audit trail: who moved what from where to where, and why. Rows are never changed.

    Without foreign keys: the trail outlives what it tells of.
    """

    at = models.DateTimeField(default=now)
    who = models.TextField()
    actor = models.TextField(default="")
    """By which of the machines' actors it was moved; empty for lines of before that was kept."""
    subject = models.TextField()
    subject_id = models.BigIntegerField()
    task = models.BigIntegerField(null=True)
    before = models.TextField(default="")
    after = models.TextField(default="")
    why = models.TextField(default="")

    class Meta:
        indexes = [
            models.Index(fields=["subject", "subject_id"], name="audit_by_subject"),
            models.Index(fields=["task", "id"], name="audit_by_task"),
            # What people did is rare among the moves of the server and its agents.
            models.Index(fields=["id"], name="audit_by_person", condition=models.Q(actor="person")),
        ]


class CycleStep(models.Model):
    """The last sign of a step of the cycle: when it was done, and since when it fails by which error."""

    name = models.TextField(unique=True)
    at = models.DateTimeField(default=now)
    failing_since = models.DateTimeField(null=True)
    error = models.TextField(default="")
