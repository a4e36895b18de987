"""Decisions of people on sites, breakers and agents; in a transaction."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from pilotext.api.schemas.sites import BreakerHold, SiteLimit
from pilotext.errors import UsageError
from pilotext.profile import default_experiment
from pilotext.profile.records import unknown
from pilotext.server.production.cycle.breakers import BreakerPlace
from pilotext.server.production.lookup import experiment_named, no_such_word, site_named
from pilotext.server.production.models import Agent, AuditEntry, Breaker, Site
from pilotext.server.production.profiles import SITE_LIMIT, profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import AGENT, BREAKER, AgentState, BreakerState
from pilotext.server.production.transitions import Reason, advance, record
from pilotext.server.times import EPOCH, later, now

NOT_CLOSED = (BreakerState.OPEN, BreakerState.PROBING)

OPEN_S = 10 * 365 * 86400.0
"""A breaker that somebody opened stays so until somebody closes it."""


def move_site(name: str, word: str, reason: Reason) -> list[int]:
    """Close a site, so that it gets no jobs, or open it again, with all of its breakers.

    Raises RefusalError for another word, or no such site.
    """
    row = Site.objects.select_for_update().get(pk=site_named(name).pk)
    if word not in ("close", "open"):
        raise no_such_word(word, ["close", "open"])
    if word == "close":
        moved = Site.objects.filter(pk=row.pk, closed="").update(closed=reason.why)
    else:
        moved = Site.objects.filter(pk=row.pk).exclude(closed="").update(closed="")
        breakers = Breaker.objects.filter(site=row)
        moved += len(advance(BREAKER, breakers, NOT_CLOSED, BreakerState.CLOSED, reason, trips=0, why="", probe=None))
    if moved:
        after = "closed" if word == "close" else "open"
        record("site", after, reason, [(row.pk, "closed" if row.closed else "open", None)])
    return [row.pk] if moved else []


def move_breaker(breaker: int, word: str, reason: Reason) -> list[int]:
    """Close a breaker, or open it until somebody closes it. Raises RefusalError when that cannot be."""
    rows = Breaker.objects.filter(pk=breaker)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no breaker {breaker}.")
    if word == "close":
        return advance(BREAKER, rows, NOT_CLOSED, BreakerState.CLOSED, reason, trips=0, why="", probe=None)
    if word == "open":
        held = {"why": reason.why, "due": later(now(), OPEN_S), "probe": None}
        opened = advance(BREAKER, rows, (BreakerState.CLOSED,), BreakerState.OPEN, reason, since=now(), **held)
        return (
            opened
            or advance(BREAKER, rows, (BreakerState.PROBING,), BreakerState.OPEN, reason, **held)
            or _hold_longer(rows, reason, **held)
        )
    raise no_such_word(word, ["close", "open"])


def _hold_longer(rows: QuerySet[Breaker], reason: Reason, **held: Any) -> list[int]:
    """One that opened by itself stays open until somebody closes it."""
    found = list(
        rows.filter(due__lt=later(now(), OPEN_S / 2)).select_for_update(of=("self",)).values_list("pk", "state")
    )
    Breaker.objects.filter(pk__in=[pk for pk, _ in found]).update(changed=now(), **held)
    record(BREAKER.name, BreakerState.OPEN, reason, [(pk, state, None) for pk, state in found])
    return [pk for pk, _ in found]


def limit_site(asked: SiteLimit, reason: Reason) -> list[int]:
    """Say how many attempts may run at a site at once. Raises RefusalError when there is no such site."""
    row = _site(asked.site)
    limit = asked.max_active
    if limit is None:
        site = profile_of(row.experiment.name).sites.get(row.name)
        limit = site.max_active if site else None
    after = "profile" if asked.max_active is None else str(asked.max_active)
    last = AuditEntry.objects.filter(subject=SITE_LIMIT, subject_id=row.pk).order_by("-pk").first()
    if (last.after if last else "profile") == after:
        return []
    Site.objects.filter(pk=row.pk).update(max_active=limit)
    record(SITE_LIMIT, after, reason, [(row.pk, last.after if last else "profile", None)])
    return [row.pk]


def hold(asked: BreakerHold, reason: Reason) -> list[int]:
    """Open a breaker manually. Raises RefusalError when there is no such rule, or not the place that it is about."""
    experiment = experiment_named(asked.experiment or _default_experiment())
    profile = profile_of(experiment.name)
    rule = profile.breakers.get(asked.rule)
    if rule is None:
        error: UsageError = unknown(f"{profile.name} has no breaker", asked.rule, list(profile.breakers))
        raise RefusalError("not-found", str(error))
    given = "node" if asked.node else "site" if asked.site else "experiment"
    if given != rule.per or (asked.node and not asked.site):
        wanted = {"experiment": "no place", "site": "a site", "node": "a site and a node"}[rule.per]
        raise RefusalError("invalid", f"the breaker {asked.rule!r} is about {rule.per}s; give {wanted}.")
    site = _site(asked.site) if asked.site else None
    if site is not None and site.experiment_id != experiment.pk:
        raise RefusalError("invalid", f"{site.name} is not a site of {experiment.name}.")
    place = BreakerPlace(site.pk, site.name, asked.node) if site else BreakerPlace()
    fields = {"site_id": place.site, "node": place.node, "changed": EPOCH}
    breaker, _ = Breaker.objects.get_or_create(
        experiment=experiment, rule=asked.rule, scope=place.scope, defaults=fields
    )
    return move_breaker(breaker.pk, "open", reason)


def _default_experiment() -> str:
    try:
        return default_experiment()
    except UsageError as error:
        raise RefusalError("invalid", str(error)) from None


def drain_agent(agent: int, reason: Reason) -> list[int]:
    """Drain an agent: it gets no more jobs. Raises RefusalError when there is no such agent."""
    rows = Agent.objects.filter(pk=agent)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no agent {agent}.")
    return advance(AGENT, rows, (AgentState.ACTIVE, AgentState.GONE), AgentState.DRAINING, reason)


def _site(name: str) -> Site:
    rows = Site.objects.select_for_update(of=("self",)).select_related("experiment")
    return rows.get(pk=site_named(name).pk)
