"""Sites with their breakers, and agents."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Count, Exists, Max, OuterRef, Q, QuerySet, Subquery, Sum, TextField, Value, When
from django.db.models.functions import Coalesce

from pilotext.api.schemas.agents import AgentList, AgentRow
from pilotext.api.schemas.sites import BreakerRow, SiteList, SiteRow
from pilotext.server.database import number_of, spelled_out
from pilotext.server.production.dispatch.agents import GONE_AFTER_S
from pilotext.server.production.lookup import (
    agent_named,
    site_named,
)
from pilotext.server.production.models import Agent, Attempt, AuditEntry, Breaker, HourlyAttempts, Site, Token
from pilotext.server.production.models.task import SiteQuerySet
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.site_settings import closings
from pilotext.server.production.states import (
    ACTIVE_ATTEMPT,
    BREAKER,
    FAILED_ATTEMPT,
    AgentState,
    AttemptState,
    BreakerState,
)
from pilotext.server.production.statistics.hourly import hour_of
from pilotext.server.times import EPOCH, FOREVER, HOUR_S, earlier, now, record_fields, to_seconds


def list_sites() -> SiteList:
    """Return all sites with what happens there, and all breakers that are not closed."""
    found = describe_sites()
    return SiteList(tuple(row for _, row in found.rows), found.breakers)


@dataclass(frozen=True)
class DescribedSites:
    """Sites with their rows, and the open breakers of no site."""

    rows: tuple[tuple[Site, SiteRow], ...]
    breakers: tuple[BreakerRow, ...]


def describe_sites() -> DescribedSites:
    """Return all sites, each with what happens there, in the order of their experiments and names."""
    return _described(Site.objects.order_by("experiment", "name"))


def describe_site(number: int) -> tuple[Site, SiteRow]:
    """Return the row of a site with what happens there. Raises RefusalError if there is no site of this number."""
    found = _described(Site.objects.filter(pk=number))
    if not found.rows:
        raise RefusalError("not-found", f"there is no site {number}.")
    return found.rows[0]


def _described(sites: SiteQuerySet) -> DescribedSites:
    # Counted here: for a GROUP BY, SQLite reads an index of all attempts instead of those that ended in the last hour.
    recent = Counter(Attempt.objects.filter(ended__gte=earlier(now(), HOUR_S)).order_by().values_list("site", "state"))
    joined: QuerySet[Site] = sites.select_related("experiment").with_attempts_at_work()
    heard = number_of(Agent.objects.filter(site=OuterRef("pk"), state=AgentState.ACTIVE))
    there = joined.annotate(active=Count("at_work"), heard=heard)
    breakers: defaultdict[int | None, list[BreakerRow]] = defaultdict(list)
    for row in Breaker.objects.not_closed().order_by("pk"):
        breakers[row.site_id].append(_breaker(row))
    rows = tuple(
        (
            site,
            SiteRow(
                site=site.name,
                experiment=site.experiment.name,
                max_active=site.max_active,
                active=site.active,
                finished=recent[site.pk, AttemptState.FINISHED],
                failed=sum(recent[site.pk, state] for state in FAILED_ATTEMPT),
                agents=site.heard,
                closed=site.closed,
                breakers=tuple(breakers[site.pk]),
            ),
        )
        for site in there
    )
    return DescribedSites(rows, tuple(breakers[None]))


def efficiency_of_sites(since: datetime) -> dict[int, float]:
    """Return the CPU efficiency of the attempts that ended since then, in percent of one core, by the site's number."""
    rows = HourlyAttempts.objects.filter(hour__gte=hour_of(since)).order_by().values_list("site")
    used = rows.annotate(cpu=Sum("cpu_s"), wall=Sum("wall_s"))
    return {site: 100 * cpu_s / wall_s for site, cpu_s, wall_s in used if wall_s > 0}


@dataclass(frozen=True)
class ClosedSite:
    """A site that somebody has closed."""

    number: int
    name: str
    why: str
    since: datetime | None
    who: str
    """Name of the person who closed it; empty where the trail does not have it any more."""


def closed_sites() -> list[ClosedSite]:
    """Return the sites that get no jobs because somebody has closed them."""
    closing, unknown = closings(OuterRef("pk")), Value("", TextField())
    rows = Site.objects.exclude(closed="").annotate(
        since=Subquery(closing.values("at")[:1]), who=Coalesce(Subquery(closing.values("who")[:1]), unknown)
    )
    return [ClosedSite(*row) for row in rows.order_by("name").values_list("pk", "name", "closed", "since", "who")]


@dataclass(frozen=True)
class TrippedBreaker:
    """A breaker that is not closed, with the number of its site, if it is about one.

    `who` is the person who opened it; empty where it opened by itself.
    """

    row: BreakerRow
    site: int | None
    who: str


def tripped_breakers() -> list[TrippedBreaker]:
    """Return all breakers that are not closed, of sites and of everything else."""
    opened = AuditEntry.objects.filter(subject=BREAKER.name, subject_id=OuterRef("pk"), after=BreakerState.OPEN)
    person = Case(When(actor="person", then="who"), default=Value("", TextField()))
    last = opened.order_by("-pk").annotate(person=person).values("person")[:1]
    rows = Breaker.objects.not_closed().annotate(who=Subquery(last))
    return [TrippedBreaker(_breaker(row), row.site_id, getattr(row, "who", None) or "") for row in rows.order_by("pk")]


def _breaker(row: Breaker) -> BreakerRow:
    same = record_fields(row, ("rule", "scope", "state", "since", "due", "trips", "why"))
    return BreakerRow(breaker=row.pk, **same)


def list_agents(*, name: str | None = None, site: str | None, state: str | None, after: int, limit: int) -> AgentList:
    """A page of agents in the order of their ids."""
    rows = Agent.objects.filter(pk__gt=after).select_related("site").order_by("pk")
    if name is not None:
        rows = rows.filter(pk=agent_named(name).pk)
    if site is not None:
        rows = rows.filter(site=site_named(site))
    if state is not None:
        rows = rows.filter(state=state)
    return _page_of_agents(rows, limit)


def agents_of(site: Site, *, after: int, limit: int) -> AgentList:
    """Return a page of the agents of a site that have not gone or hold attempts, in the order of their ids."""
    holding = Exists(Attempt.objects.active().filter(agent=OuterRef("pk")))
    rows = Agent.objects.filter(~Q(state=AgentState.GONE) | holding, site=site, pk__gt=after)
    return _page_of_agents(rows.select_related("site").order_by("pk"), limit)


def _page_of_agents(rows: QuerySet[Agent], limit: int) -> AgentList:
    found = list(rows[: limit + 1])
    page = found[:limit]
    busy = Attempt.objects.filter(state__in=spelled_out(ACTIVE_ATTEMPT), agent__in=[row.pk for row in page])
    active = {
        agent: (number, seen) for agent, number, seen in busy.values_list("agent").annotate(Count("pk"), Max("seen"))
    }
    same = ("name", "host", "version", "state", "slots", "registered", "seen", "token")
    at, ended = now(), _ended_tokens({row.token for row in page} - {""})
    told = tuple(
        AgentRow(
            agent=row.pk,
            site=row.site.name,
            active=active.get(row.pk, (0, EPOCH))[0],
            silent_since=to_seconds(_silent_since(row, active.get(row.pk, (0, EPOCH))[1], at)),
            token_ended=to_seconds(ended.get(row.token)),
            **record_fields(row, same),
        )
        for row in page
    )
    return AgentList(told, page[-1].pk if len(found) > limit else None)


def _silent_since(row: Agent, attempts_seen: datetime, at: datetime) -> datetime | None:
    """Return the time of the last message of an agent or of its attempts; None where that was recent."""
    last = max(row.seen, attempts_seen)
    return last if last < earlier(at, GONE_AFTER_S) else None


def _ended_tokens(labels: Collection[str]) -> dict[str, datetime]:
    """Of these labels of agents' tokens, those without a good token any more, and when the last one ended."""
    at, ends = now(), defaultdict(list)
    for row in Token.objects.filter(label__in=labels, role="agent"):
        ends[row.label].append(min(row.revoked or FOREVER, row.expires or FOREVER))
    return {label: max(points) for label, points in ends.items() if max(points) <= at}
