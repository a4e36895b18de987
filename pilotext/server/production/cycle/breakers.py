"""Breakers: they open when too much fails at one place or by one cause, and close when a probe succeeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet

from pilotext.formatting import counted_words
from pilotext.profile.records import STORAGE_BREAKER, BreakerRule
from pilotext.profile.records import Experiment as Profile
from pilotext.server.database import spelled_out, transact
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.dispatch.breakers import types_held
from pilotext.server.production.models import Attempt, Breaker, Experiment, Site
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import ACTIVE_ATTEMPT, BREAKER, FAILED_ATTEMPT, AttemptState, BreakerState
from pilotext.server.production.transitions import Reason, advance
from pilotext.server.times import EPOCH, earlier, later, now

MAX_FAILURES = 2000
"""Failures that are looked at, the newest: what is broken fails often."""


@dataclass(frozen=True)
class BreakerPlace:
    """The scope of a breaker: a node, a site, or the whole experiment."""

    site: int | None = None
    site_name: str = ""
    node: str = ""

    def as_for(self, rule: BreakerRule) -> BreakerPlace:
        """The part of the place that such a breaker is about."""
        if rule.per == "experiment":
            return BreakerPlace()
        return self if rule.per == "node" else BreakerPlace(self.site, self.site_name)

    @property
    def scope(self) -> str:
        return f"{self.site_name} {self.node}".strip()


@dataclass(frozen=True)
class Ended:
    """An attempt that has ended, as breakers look at it."""

    job: int
    node: str
    cause: str


def watch_breakers() -> int:
    """Open breakers where too much failed, and settle those whose probe has ended."""
    return collect_failures(Experiment.objects.all(), _watch)


def _watch(experiment: Experiment) -> int:
    profile = profile_of(experiment.name)
    return _settle(experiment, profile) + _open_new(experiment, profile)


def tripped(rule: BreakerRule, ended: Iterable[Ended]) -> bool:
    """Whether so many of these attempts failed that the breaker opens."""
    bad = [one for one in ended if one.cause in rule.cause]
    return len({one.job for one in bad}) >= rule.failures and len({one.node for one in bad}) >= rule.nodes


def _open_new(experiment: Experiment, profile: Profile) -> int:
    if not profile.breakers:
        return 0
    at = now()
    since = earlier(at, max(rule.within_s for rule in profile.breakers.values()))
    failures = Attempt.objects.filter(state__in=spelled_out(FAILED_ATTEMPT), ended__gte=since)
    columns = ("site", "node", "job", "state", "cause")
    names = dict(Site.objects.filter(experiment=experiment).values_list("pk", "name"))
    last = failures.order_by("-ended").values_list(*columns)[:MAX_FAILURES]
    rows = [
        (BreakerPlace(site, names[site], node), job, state, cause)
        for site, node, job, state, cause in last
        if site in names
    ]
    return sum(
        transact(lambda name=name, place=place: _open_one(experiment, profile, name, place, at))  # type: ignore[misc]
        for name, rule in profile.breakers.items()
        for place in _suspects(rule, rows)
    )


def _suspects(rule: BreakerRule, rows: Sequence[tuple[BreakerPlace, int, str, str]]) -> Iterator[BreakerPlace]:
    seen: defaultdict[BreakerPlace, set[int]] = defaultdict(set)
    for where, job, state, cause in rows:
        if (cause if state == AttemptState.FAILED else "lost") in rule.cause and (where.node or rule.per != "node"):
            seen[where.as_for(rule)].add(job)
    yield from (place for place, jobs in seen.items() if len(jobs) >= rule.failures)


def _open_one(experiment: Experiment, profile: Profile, name: str, place: BreakerPlace, at: datetime) -> int:
    rule = profile.breakers[name]
    fields = {"site_id": place.site, "node": place.node, "changed": EPOCH}
    row, _ = Breaker.objects.get_or_create(experiment=experiment, rule=name, scope=place.scope, defaults=fields)
    if row.state != BreakerState.CLOSED:
        return 0
    # What was given out before it closed last proves nothing: it had been broken then.
    ended = Attempt.objects.filter(ended__gte=earlier(at, rule.within_s), leased__gte=row.changed)
    # Expressions, not columns: the index of the ends is the short way, not those of sites.
    sites = [place.site] if place.site is not None else list(experiment.sites.values_list("pk", flat=True))
    ended = ended.annotate(at=F("site_id") + 0).filter(at__in=sites)
    if place.node:
        ended = ended.filter(node=place.node)
    if (types := types_held(profile, rule)) is not None:
        ended = ended.filter(job__type__in=types)
    last = [*_last(ended, rule.of)]
    if not tripped(rule, last):
        return 0
    bad = sum(one.cause in rule.cause for one in last)
    why = f"{bad} of the last {counted_words(len(last), 'attempt')} failed by {' or '.join(rule.cause)}"
    return _open(row, rule, why, at, trips=1)


def _last(ended: QuerySet[Attempt], most: int) -> Iterator[Ended]:
    for job, node, state, cause in ended.order_by("-ended").values_list("job", "node", "state", "cause")[:most]:
        yield Ended(job, node, "lost" if state == "lost" else cause)


def _open(row: Breaker, rule: BreakerRule, why: str, at: datetime, *, trips: int) -> int:
    pause = min(rule.pause_s * rule.factor ** (trips - 1), rule.most_s)
    reason = Reason("breaker", f"{row.rule}: {why}; nothing for {pause:.0f} s", "cycle")
    changes: dict[str, Any] = {"due": later(at, pause), "trips": trips, "why": why, "probe": None}
    if row.state == BreakerState.CLOSED:
        changes["since"] = at
    return len(
        advance(
            BREAKER,
            Breaker.objects.filter(pk=row.pk),
            (BreakerState.CLOSED, BreakerState.PROBING),
            BreakerState.OPEN,
            reason,
            **changes,
        )
    )


def _settle(experiment: Experiment, profile: Profile) -> int:
    mine = Breaker.objects.filter(experiment=experiment).exclude(rule=STORAGE_BREAKER)
    not_ended = (*ACTIVE_ATTEMPT, AttemptState.VERIFYING)
    over = mine.filter(state=BreakerState.PROBING).exclude(probe__state__in=not_ended)
    gone = mine.filter(state=BreakerState.OPEN).exclude(rule__in=list(profile.breakers))
    rows = [*over.select_related("probe"), *gone.select_related("probe")]
    return sum(transact(lambda row=row: _settle_one(row, profile.breakers.get(row.rule))) for row in rows)  # type: ignore[misc]


def _settle_one(row: Breaker, rule: BreakerRule | None) -> int:
    probe, at = row.probe, now()
    mine = Breaker.objects.filter(pk=row.pk, probe=probe)
    if rule is None or (probe is not None and probe.state == AttemptState.FINISHED):
        why = "its probe succeeded" if rule is not None else "the profile has no such rule any more"
        return len(
            advance(
                BREAKER,
                mine,
                (BreakerState.OPEN, BreakerState.PROBING),
                BreakerState.CLOSED,
                Reason("breaker", f"{row.rule}: {why}", "cycle"),
                trips=0,
                why="",
            )
        )
    if probe is not None and ("lost" if probe.state == AttemptState.LOST else probe.cause) in rule.cause:
        return _open(row, rule, f"its probe failed by {probe.cause or probe.state}", at, trips=row.trips + 1)
    reason = Reason("breaker", f"{row.rule}: its probe proved nothing; another one may try", "cycle")
    return len(advance(BREAKER, mine, (BreakerState.PROBING,), BreakerState.OPEN, reason, due=at, probe=None))
