"""Factories: the number of jobs that wait for agents of a site, and reports of what was submitted."""

from __future__ import annotations

from datetime import datetime

from django.db.models import F, Sum

from pilotext.api.schemas.factories import FactoryReport, SiteWork
from pilotext.server.production.dispatch.breakers import held_types, open_breakers
from pilotext.server.production.dispatch.brokerage import count_candidates
from pilotext.server.production.dispatch.leases import HEARTBEAT_S
from pilotext.server.production.models import Agent, Attempt, Factory, FactoryLabel, Site
from pilotext.server.production.states import AgentState
from pilotext.server.times import earlier, from_seconds, later, now

MAX_WAITING = 10_000
"""Jobs that are counted at most: no factory submits so many batch jobs at once."""

_ELSEWHERE = ("label", "site", "agents")
"""Fields of a report on a label that are not stored as they are."""

NEW_S = 600.0
"""The cycle of a factory takes less, so that its list of agents holds every one that is older."""

BEATS_UNTIL_LOST = 2

HEARD_S = 900.0
"""A factory that was not heard of for so long may have ended; its queued batch jobs are not relied on."""


def site_work(site: Site, factory: str, label: str) -> SiteWork:
    """Return what waits for agents of a site, beside those that other labels have queued."""
    at = now()
    breakers = open_breakers(site)
    held, types = held_types(breakers, at)
    if site.closed or held:
        why = f"the site is closed: {site.closed}" if site.closed else "a breaker holds all jobs of the site"
        return SiteWork(site.name, 0, hold=why)
    waiting = count_candidates(site, at, limit=MAX_WAITING, without=types)
    if any(breaker.node == "" and breaker.types is None for breaker in breakers):
        waiting = min(waiting, 1)  # one job may try whether it works again
    if site.max_active is not None:
        room = site.max_active - Attempt.objects.active().filter(site=site).count()
        waiting = max(0, min(waiting, room))
    return SiteWork(site.name, waiting, _queued_elsewhere(site, factory, label, at))


def _queued_elsewhere(site: Site, factory: str, label: str, at: datetime) -> int:
    others = FactoryLabel.objects.filter(site=site, factory__seen__gte=earlier(at, HEARD_S))
    others = others.exclude(factory__name=factory, label=label)
    found: int | None = others.aggregate(jobs=Sum(F("queued") * F("slots")))["jobs"]
    return found or 0


def accept_report(report: FactoryReport, sites: dict[str, Site]) -> int:
    """Store what a factory reports, in a transaction; returns its number. `sites` has those that it names."""
    said = {"host": report.host, "version": report.version, "started": from_seconds(report.started), "seen": now()}
    factory, _ = Factory.objects.update_or_create(name=report.name, defaults=said)
    for each in report.labels:
        fields = {name: getattr(each, name) for name in each.__struct_fields__ if name not in _ELSEWHERE}
        fields |= {"site": sites[each.site], "message_at": from_seconds(each.message_at)}
        FactoryLabel.objects.update_or_create(factory=factory, label=each.label, defaults=fields)
        if each.agents is not None:
            _shorten_leases(f"{report.name}.{each.label}.", frozenset(each.agents))
    factory.labels.exclude(label__in=[each.label for each in report.labels]).delete()
    return factory.pk


def _shorten_leases(prefix: str, alive: frozenset[str]) -> None:
    """Have attempts of agents whose batch job is gone end soon; a living one renews its lease.

    An agent that registered while the factory was counting is not judged.
    """
    at = now()
    known = Agent.objects.filter(name__startswith=prefix, registered__lt=earlier(at, NEW_S)).exclude(
        state=AgentState.GONE
    )
    gone = [pk for pk, name in known.values_list("pk", "name") if name not in alive]
    soon = later(at, BEATS_UNTIL_LOST * HEARTBEAT_S)
    Attempt.objects.active().filter(agent__in=gone, lease_until__gt=soon).update(lease_until=soon)
