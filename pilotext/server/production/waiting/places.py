"""Sites as a waiting job sees them: which of them would take it now, and what keeps the others from it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from django.db.models import Count, F, Max, Q, Sum

from pilotext.api.schemas.waits import Wait
from pilotext.profile.records import STORAGE_BREAKER
from pilotext.profile.records import Experiment as Profile
from pilotext.server.production.cycle.status import SILENT_AFTER_S
from pilotext.server.production.dispatch.agents import GONE_AFTER_S, heard_since
from pilotext.server.production.dispatch.breakers import types_held
from pilotext.server.production.dispatch.placement import Avoid, nodes_of, of_site
from pilotext.server.production.models import Agent, Attempt, AuditEntry, Breaker, CycleStep, Job, Site, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import ACTIVE_ATTEMPT, AgentState, BreakerState


@dataclass(frozen=True)
class JobPlace:
    """A site with what is there now: attempts at work, agents that are heard of, their slots, and pilots."""

    site: Site
    active: int
    busy: int
    """Attempts that agents have."""
    agents: int
    slots: int
    pilots: bool
    last_seen: float | None
    """Time of the last message of an agent there, whatever its state."""
    closed_since: float | None
    breakers: tuple[Breaker, ...]
    """Open ones for the whole site, those of the experiment included."""
    other_nodes: bool
    """An agent is heard of on a node that the job does not avoid and that no breaker holds."""


def places_of(task: Task, job: Job | None, at: float, avoided: Avoid) -> list[JobPlace]:
    """The sites that may have a job: those of its task, or the only one of its own; eight queries at the most."""
    profile = profile_of(task.experiment.name)
    sites = _sites(task, job)
    since = at - GONE_AFTER_S
    rows = Breaker.objects.not_closed().filter(experiment=task.experiment_id).order_by("pk")
    breakers = [row for row in rows if job is None or _holds(profile, row, job.type)]
    held = {row.node for row in breakers if row.node}
    kept_off = {node for node, until in nodes_of(avoided).items() if until > at}
    agents, elsewhere = _agents(sites, since), _other_nodes(sites, since, held | kept_off)
    attempts, pilots = _attempts(sites), _pilots(sites, at - profile.retry.heard_s)
    closed = _closed_since(sites)
    return [
        JobPlace(
            site=site,
            active=attempts.get(site.pk, (0, 0))[0],
            busy=attempts.get(site.pk, (0, 0))[1],
            agents=agents.get(site.pk, (0, 0, None))[0],
            slots=agents.get(site.pk, (0, 0, None))[1],
            pilots=site.pk in pilots,
            last_seen=agents.get(site.pk, (0, 0, None))[2],
            closed_since=closed.get(site.pk),
            breakers=tuple(row for row in breakers if not row.node and row.site_id in (None, site.pk)),
            other_nodes=site.pk in elsewhere,
        )
        for site in sites
    ]


def obstacles(place: JobPlace, avoid: Mapping[str, float], at: float) -> Iterator[Wait]:
    """Yield the obstacles for a job at this site now; nothing where it can be given out."""
    name = place.site.name
    if place.site.closed:
        why = f"site {name} is closed: {place.site.closed}"
        yield Wait("site-closed", why, place.closed_since, None, "manager", f"pilotext sites open {quote(name)}")
    limit = place.site.max_active
    if limit is not None and place.active >= limit:
        why = f"site {name} is full: {place.active} attempts of at most {limit}"
        yield Wait("site-full", why, None, None, "manager", f"pilotext sites limit {quote(name)} --most N")
    for row in place.breakers:
        if row.state == BreakerState.PROBING or row.due > at:
            yield _breaker(row)
    if (until := avoid.get(of_site(name), 0.0)) > at:
        why = f"it failed at site {name} and avoids it as long as another site can take it"
        yield Wait("avoided", why, None, until, "server", "it may go there again by then")
    yield from _nobody(place)


def _nobody(place: JobPlace) -> Iterator[Wait]:
    name = place.site.name
    start = f"start an agent there: pilotext agent --site {quote(name)}"
    if place.pilots:
        return
    if not place.agents:
        why = f"no agent at site {name} is active" + ("" if place.last_seen else ", and none ever was")
        yield Wait("no-agent", why, place.last_seen, None, "operator", start)
    elif place.busy >= place.slots:
        why = f"all {place.slots} slots of the {place.agents} agents at site {name} are busy"
        yield Wait("agents-busy", why, None, None, "operator", f"a slot becomes free when a job ends; or {start}")
    elif not place.other_nodes:
        why = f"at site {name} agents are active only on nodes that it avoids, or that a breaker holds"
        yield Wait("avoided", why, None, None, "operator", f"another node is needed; {start}")


def _breaker(row: Breaker) -> Wait:
    what = f"breaker {row.pk} ({row.rule}) is {row.state} for {row.scope or 'everything'}: {row.why}"
    how = f"pilotext sites close --breaker {row.pk}"
    if row.state == BreakerState.PROBING:
        return Wait("breaker", f"{what}; one job tries whether it works again", row.changed, None, "manager", how)
    return Wait("breaker", what, row.changed, row.due if math.isfinite(row.due) else None, "manager", how)


def _sites(task: Task, job: Job | None) -> list[Site]:
    sites = Site.objects.filter(experiment=task.experiment_id).order_by("name")
    if job is not None and job.site_id is not None:
        sites = sites.filter(pk=job.site_id)
    elif task.sites:
        sites = sites.filter(name__in=task.sites)
    return list(sites)


def _holds(profile: Profile, row: Breaker, job_type: str) -> bool:
    types = types_held(profile, profile.breakers.get(row.rule))
    return types is None or job_type in types


def _agents(sites: Collection[Site], since: float) -> dict[int, tuple[int, int, float | None]]:
    """Of each site the agents that are heard of, their slots, and when any was heard of last."""
    rows = Agent.objects.filter(site__in=sites).order_by()
    heard = (
        rows.filter(heard_since(since), state=AgentState.ACTIVE).values_list("site").annotate(Count("pk"), Sum("slots"))
    )
    there = {site: (agents, slots) for site, agents, slots in heard}
    return {site: (*there.get(site, (0, 0)), seen) for site, seen in rows.values_list("site").annotate(Max("seen"))}


def _other_nodes(sites: Collection[Site], since: float, nodes: Collection[str]) -> set[int]:
    rows = Agent.objects.filter(heard_since(since), site__in=sites, state=AgentState.ACTIVE).exclude(host__in=nodes)
    return set(rows.values_list("site", flat=True).distinct())


def _attempts(sites: Collection[Site]) -> dict[int, tuple[int, int]]:
    """Of each site the attempts at work, and those of them that agents have."""
    found: dict[int, tuple[int, int]] = {}
    rows = Attempt.objects.active().filter(site__in=sites).values_list("state", "site")
    for _, site, every, agents in rows.annotate(Count("pk"), Count("agent")):
        before = found.get(site, (0, 0))
        found[site] = before[0] + every, before[1] + agents
    return found


def _pilots(sites: Collection[Site], since: float) -> set[int]:
    """Sites where a PanDA pilot had an attempt lately."""
    lately = Q(state__in=ACTIVE_ATTEMPT) | Q(ended__gte=since)
    # By an expression, not the column: SQLite would go through all attempts at these sites.
    rows = Attempt.objects.filter(lately, pilot__gt="").annotate(at=F("site_id") + 0)
    return set(rows.filter(at__in=[site.pk for site in sites]).values_list("at", flat=True).distinct())


def _closed_since(sites: Collection[Site]) -> dict[int, float]:
    closed = [site.pk for site in sites if site.closed]
    if not closed:
        return {}
    told = AuditEntry.objects.filter(subject="site", subject_id__in=closed, after="closed")
    return dict(told.values_list("subject_id").annotate(Max("at")))


def of_cycle(at: float) -> Iterator[Wait]:
    """Yield failures of the cycle, which moves everything; nothing while it is alive and no step fails."""
    rows = list(CycleStep.objects.order_by("name"))
    last = max((row.at for row in rows), default=None)
    if last is not None and at - last > SILENT_AFTER_S:
        how = "start it: pilotext server, or pilotext server cycle"
        yield Wait("cycle", "the cycle of the server is silent: nothing advances", last, None, "manager", how)
    for row in rows:
        if row.error:
            what = f"step {row.name!r} of the cycle fails: {row.error}"
            yield Wait("cycle", what, row.failing_since, None, "manager", "the log of the server has the details")


_FOR_STORAGE = {"staging", "verifying", "copying", "cleaning", "archive"}


def with_servers(waits: Sequence[Wait], experiment: int) -> tuple[Wait, ...]:
    """These reasons, and where one of them is work on storage, every server of the experiment that is away."""
    if not any(wait.kind in _FOR_STORAGE for wait in waits):
        return tuple(waits)
    away = Breaker.objects.not_closed().filter(experiment=experiment, rule=STORAGE_BREAKER).order_by("scope")
    return (*waits, *map(_of_server, away))


def _of_server(row: Breaker) -> Wait:
    how = f"the cycle asks it again then, or now: pilotext sites close --breaker {row.pk} --why ..."
    return Wait("storage-away", f"{row.scope} does not answer: {row.why}", row.since, row.due, "server", how)
