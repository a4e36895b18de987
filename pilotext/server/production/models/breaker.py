"""Table of breakers: sites, nodes and storage servers that get no jobs because of failures."""

from __future__ import annotations

from typing import Self

from django.db import models

from pilotext.server.production.models.attempt import Attempt
from pilotext.server.production.models.common import only_states_of
from pilotext.server.production.models.task import Experiment, Site
from pilotext.server.production.states import BREAKER, BreakerState
from pilotext.server.times import EPOCH, now


class BreakerQuerySet(models.QuerySet["Breaker"]):
    def not_closed(self) -> Self:
        """Select breakers that keep jobs or requests away, or try whether they still have to."""
        return self.filter(state__in=(BreakerState.OPEN, BreakerState.PROBING))


class Breaker(models.Model):
    """A node, a site, or all of an experiment that gets no jobs until `due`, by the profile's breaker `rule`.

    With the rule STORAGE_BREAKER it is a storage server that the cycle leaves alone until then. `scope` is what it is
    about in words that are unique; `trips` counts the pauses since it was closed last.
    """

    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="breakers")
    rule = models.TextField()
    scope = models.TextField()
    site = models.ForeignKey(Site, models.PROTECT, null=True, related_name="breakers")
    node = models.TextField(default="")
    state = models.TextField(default=BreakerState.CLOSED)
    due = models.DateTimeField(default=EPOCH)
    trips = models.IntegerField(default=0)
    since = models.DateTimeField(default=EPOCH)
    """Time of its opening from the closed state; probes may have failed since."""
    probe = models.ForeignKey(Attempt, models.SET_NULL, null=True, related_name="probes")
    why = models.TextField(default="")
    changed = models.DateTimeField(default=now)

    objects = BreakerQuerySet.as_manager()

    class Meta:
        constraints = [
            only_states_of(BREAKER),
            models.UniqueConstraint(fields=["experiment", "rule", "scope"], name="breaker_once"),
        ]
        indexes = [
            models.Index(fields=["state"], name="breaker_not_closed", condition=~models.Q(state=BreakerState.CLOSED))
        ]
