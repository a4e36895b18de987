"""Agents: one that is not heard of is gone; what it ran is looked after by the leases."""

from __future__ import annotations

from pilotext.server.database import transact
from pilotext.server.production.advance import Reason, advance
from pilotext.server.production.models import Agent
from pilotext.server.production.models.common import now
from pilotext.server.production.states import AGENT

GONE_AFTER_S = 900.0


def forget_agents() -> int:
    """Agents that were silent for a quarter of an hour are gone."""
    silent = Agent.objects.filter(seen__lt=now() - GONE_AFTER_S)
    return transact(lambda: len(advance(AGENT, silent, "gone", Reason("cycle", "not heard of any more"))))
