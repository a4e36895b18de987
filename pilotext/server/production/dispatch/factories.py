"""Factories: the number of jobs that wait for agents of a site, and reports of what was submitted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import F, Q, Sum

from pilotext.api.schemas.attempts import OUTPUTS_KEPT
from pilotext.api.schemas.factories import EndedBatchJob, FactoryReport, LabelReport, SiteWork
from pilotext.server.production.dispatch.breakers import held_types, open_breakers
from pilotext.server.production.dispatch.brokerage import count_candidates
from pilotext.server.production.dispatch.leases import HEARTBEAT_S
from pilotext.server.production.models import Agent, Attempt, Factory, FactoryLabel, Site
from pilotext.server.production.states import ATTEMPT, AgentState
from pilotext.server.production.transitions import AT_ONCE, Reason, record
from pilotext.server.times import earlier, from_seconds, later, now

MAX_WAITING = 10_000
"""Jobs that are counted at most: no factory submits so many batch jobs at once."""

_ELSEWHERE = ("label", "site", "agents", "ended")
"""Fields of a report on a label that are not stored as they are."""

NEW_S = 600.0
"""The cycle of a factory takes less, so that its list of agents holds every one that is older."""

BEATS_UNTIL_LOST = 2

PILOT_GONE_S = 2400.0
"""Time for a pilot whose batch job is gone: a living one is heard of every half hour."""

BATCH_GRACE_S = 10.0
"""Time in which a report may come after the batch system has said that its batch job was ended: all its processes have
ended by then."""

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
        _hear_ends(report.name, each, sites[each.site])
        if each.agents is not None:
            _shorten_leases(f"{report.name}.{each.label}.", frozenset(each.agents), sites[each.site])
    factory.labels.exclude(label__in=[each.label for each in report.labels]).delete()
    return factory.pk


def _hear_ends(factory: str, label: LabelReport, site: Site) -> None:
    """Have attempts whose batch job was ended go soon, with the batch system's word; a living one renews its lease.

    What ended by itself may have left its report, or outputs, to the next agent on its node.
    """
    prefix = f"{factory}.{label.label}."
    sudden = [each for each in label.ended if each.end != "finished" and each.name.startswith(prefix)]
    for begin in range(0, len(sudden), AT_ONCE):
        _end_attempts(factory, {each.name: each for each in sudden[begin : begin + AT_ONCE]}, site)


def _end_attempts(factory: str, ended: dict[str, EndedBatchJob], site: Site) -> None:
    at = now()
    agents = dict(Agent.objects.filter(name__in=ended, site=site).values_list("pk", "name"))
    active = Attempt.objects.active().filter(site=site).exclude(phase=OUTPUTS_KEPT)
    rows = active.filter(Q(batch_job__in=ended) | Q(agent__in=agents)).select_for_update(of=("self",))
    soon = later(at, BATCH_GRACE_S)
    for pk, state, task, agent, batch_job, until in list(
        rows.values_list("pk", "state", "task", "agent", "batch_job", "lease_until")
    ):
        told = ended[batch_job or agents[agent]]
        if until <= soon:  # said before
            continue
        Attempt.objects.filter(pk=pk).update(batch_end=told.end, lease_until=soon)
        why = f"the batch system says of its batch job {told.name}: {told.end}"
        record(ATTEMPT.name, state, Reason(f"factory:{factory}", why, "attempt"), [(pk, state, task)], at)


def _shorten_leases(prefix: str, alive: frozenset[str], site: Site) -> None:
    """Have attempts whose batch job is gone end soon; a living one renews its lease.

    An agent that registered, or a pilot that got its job, while the factory was counting is not judged.
    """
    at = now()
    before = earlier(at, NEW_S)
    known = Agent.objects.filter(name__startswith=prefix, site=site, registered__lt=before)
    agents = known.exclude(state=AgentState.GONE).values_list("pk", "name")
    active = Attempt.objects.active().filter(site=site)
    pilots = active.filter(batch_job__startswith=prefix, leased__lt=before).values_list("pk", "batch_job")

    def gone(named: Iterable[tuple[int, str]]) -> list[int]:
        # SQLite looks for beginnings without regard to case.
        return [pk for pk, name in named if name.startswith(prefix) and name not in alive]

    for rows, within_s in (
        (active.filter(agent__in=gone(agents)), BEATS_UNTIL_LOST * HEARTBEAT_S),
        (active.filter(pk__in=gone(pilots)), PILOT_GONE_S),
    ):
        soon = later(at, within_s)
        rows.filter(lease_until__gt=soon).update(lease_until=soon)
