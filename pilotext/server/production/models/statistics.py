"""Hourly statistics: what happened to attempts, and what they moved. The cycle writes these rows, from the attempts.

`hour` counts hours since 1970 in UTC. An hour is written anew as long as something in it may change.
"""

from __future__ import annotations

from django.db import models

from pilotext.server.production.models.task import Site, Task

STARTED = "started"
"""In `HourlyAttempts.state`: attempts that were given out in this hour, whatever became of them."""


class HourlyAttempts(models.Model):
    """Attempts of a task at a site that were given out within an hour, or ended in it in this state by this cause.

    The sums are of those that have a report.
    """

    hour = models.IntegerField()
    task = models.ForeignKey(Task, models.PROTECT, related_name="+", db_index=False)
    site = models.ForeignKey(Site, models.PROTECT, related_name="+", db_index=False)
    state = models.TextField()
    cause = models.TextField(default="")
    attempts = models.IntegerField()
    wall_s = models.FloatField(default=0.0)
    cpu_s = models.FloatField(default=0.0)
    peak_memory_mb = models.FloatField(default=0.0)
    """The highest one."""
    events = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "task", "site", "state", "cause"], name="hourly_attempts_once")
        ]


class HourlyTransfers(models.Model):
    """Files that the attempts which ended within an hour at a site moved from or to a storage server."""

    hour = models.IntegerField()
    site = models.ForeignKey(Site, models.PROTECT, related_name="+", db_index=False)
    storage = models.TextField()
    direction = models.TextField()
    """`in` or `out`."""
    files = models.IntegerField()
    bytes = models.BigIntegerField()
    seconds = models.FloatField()
    """Sum of the times that they took, each by itself."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "site", "storage", "direction"], name="hourly_transfers_once")
        ]
