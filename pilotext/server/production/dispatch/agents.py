"""Agents: they say how they are; one that is not heard of is gone, and what it ran is looked after by the leases."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from pilotext.api.schemas.agents import AgentRegistration
from pilotext.server.database import transact
from pilotext.server.production.models import Agent, Attempt, AuditEntry, Site
from pilotext.server.production.states import ACTIVE_ATTEMPT, AGENT, AgentState
from pilotext.server.production.transitions import Reason, advance, record
from pilotext.server.times import earlier, now

GONE_AFTER_S = 900.0


def signature_of(name: str) -> str:
    """Return the name that the audit trail has for an agent; a person of the same name has another one."""
    return f"agent:{name}"


def forget_agents() -> int:
    """Agents that were silent for a quarter of an hour, and whose attempts are silent too, are gone."""
    busy = Attempt.objects.active().filter(agent=OuterRef("pk"))
    silent = Agent.objects.filter(~Exists(busy), seen__lt=earlier(now(), GONE_AFTER_S))
    return transact(
        lambda: len(
            advance(
                AGENT,
                silent,
                (AgentState.ACTIVE, AgentState.DRAINING),
                AgentState.GONE,
                Reason("cycle", "no heartbeat any more", "cycle"),
            )
        )
    )


def heard_since(point: datetime) -> Q:
    """Agents that asked for a job, or of which an attempt was heard of, since then: one whose slots are full does not
    ask."""
    at_work = Attempt.objects.filter(agent=OuterRef("pk"), state__in=ACTIVE_ATTEMPT, seen__gte=point)
    return Q(seen__gte=point) | Q(Exists(at_work))


def register(said: AgentRegistration, site: Site, token: str) -> int:
    """The id of the agent that says hello by a token of this label; in a transaction.

    That it came, and whatever is another way than last time, stands in the audit trail.
    """
    at = now()
    known = Agent.objects.select_for_update(of=("self",)).select_related("site").filter(name=said.name).first()
    facts = {"host": said.host, "slots": said.slots, "version": said.version}
    agent, _ = Agent.objects.update_or_create(
        name=said.name, defaults={"site": site, "seen": at, "token": token, **facts}
    )
    before = {} if known is None else {"site": known.site.name, **{name: getattr(known, name) for name in facts}}
    changed = [f"{name} {value}" for name, value in {"site": site.name, **facts}.items() if before.get(name) != value]
    if changed:
        was = "" if known is None else agent.state
        record(
            AGENT.name,
            agent.state,
            Reason(signature_of(said.name), f"by token {token}: {', '.join(changed)}", "attempt"),
            [(agent.pk, was, None)],
        )
    if agent.state != said.state:
        reason = Reason(signature_of(said.name), "reported by the agent", "attempt")
        mine = Agent.objects.filter(pk=agent.pk)
        advance(AGENT, mine, AGENT.sources(said.state, reason.actor), said.state, reason)
    return agent.pk


def key_of(site: Site) -> str:
    """Return the key with which the agents of a site seal their files, made at the first time; in a transaction.

    A renewed token opens what an agent has kept with the one before: the key is the site's, not the token's.
    """
    Site.objects.filter(pk=site.pk, agents_key="").update(agents_key=secrets.token_urlsafe())
    return Site.objects.values_list("agents_key", flat=True).get(pk=site.pk)


def come_back(agent: Agent) -> str:
    """One that was thought gone asks for jobs; returns what it is now: drained still, or active. In a transaction."""
    told = AuditEntry.objects.filter(subject=AGENT.name, subject_id=agent.pk, after=AgentState.GONE).order_by("-pk")
    before = told.values_list("before", flat=True).first()
    to = AgentState.DRAINING if before == AgentState.DRAINING else AgentState.ACTIVE
    reason = Reason(signature_of(agent.name), "it asks for jobs again", "attempt")
    advance(AGENT, Agent.objects.filter(pk=agent.pk), (AgentState.GONE,), to, reason)
    return to
