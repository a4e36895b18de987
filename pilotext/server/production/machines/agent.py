"""Agents: one that is not heard of is gone; what it ran is looked after by the leases."""

from __future__ import annotations

from django.db.models import Exists, OuterRef

from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance
from pilotext.server.production.models import Agent, Attempt
from pilotext.server.production.models.common import now
from pilotext.server.production.states import ACTIVE_ATTEMPT, AGENT

GONE_AFTER_S = 900.0


def forget_agents() -> int:
    """Agents that were silent for a quarter of an hour, and whose attempts are silent too, are gone."""
    busy = Attempt.objects.filter(agent=OuterRef("pk"), state__in=ACTIVE_ATTEMPT)
    silent = Agent.objects.filter(~Exists(busy), seen__lt=now() - GONE_AFTER_S)
    return transact(lambda: len(advance(AGENT, silent, "gone", Reason("cycle", "not heard of any more"))))
