from __future__ import annotations

from django.db import models

from pilotext.server.production.models.common import now


class CycleStep(models.Model):
    """The last sign of a step of the cycle: when it was done, and since when it fails by which error."""

    name = models.TextField(unique=True)
    at = models.FloatField(default=now)
    failing_since = models.FloatField(null=True)
    error = models.TextField(default="")
