"""Tables of factories: each one and its labels, as they were reported last."""

from __future__ import annotations

from django.db import models

from pilotext.server.production.models.task import Site
from pilotext.server.times import EPOCH, now


class Factory(models.Model):
    """A process that keeps agents or pilots queued on batch systems, as it reported last."""

    name = models.TextField(unique=True)
    host = models.TextField(default="")
    version = models.TextField(default="")
    started = models.DateTimeField(default=now)
    seen = models.DateTimeField(default=now)


class FactoryLabel(models.Model):
    """Batch jobs of one kind of a factory; numbers of submissions count since it started."""

    factory = models.ForeignKey(Factory, models.CASCADE, related_name="labels", db_index=False)
    label = models.TextField()
    """Name of the kind in the factory file."""
    site = models.ForeignKey(Site, models.PROTECT, related_name="factory_labels")
    system = models.TextField()
    """Batch system, such as `slurm`."""
    starts = models.TextField()
    """Program of a batch job: `agent` or `pilot`."""
    slots = models.IntegerField(default=1)
    """Jobs that one batch job runs at once."""
    requested = models.IntegerField(default=0)
    submitted = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    queued = models.IntegerField(null=True)
    """None: the batch system did not answer."""
    running = models.IntegerField(null=True)
    message = models.TextField(default="")
    message_at = models.DateTimeField(default=EPOCH)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["factory", "label"], name="factory_label_once")]
