"""Breakers as dispatch sees them: what is held back, and what one job may try."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from pilotext.profile.records import STORAGE_BREAKER, BreakerRule, Experiment
from pilotext.server.production.models import Breaker, Site
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import BREAKER, BreakerState
from pilotext.server.production.transitions import Reason, advance
from pilotext.server.times import FOREVER


class ProbeTakenError(Exception):
    """Another job is the probe already."""


@dataclass(frozen=True)
class OpenBreaker:
    """An open breaker: the types of jobs that it holds, None for all, until one may be tried at `due`."""

    breaker: int
    node: str
    types: frozenset[str] | None
    due: datetime

    def holds(self, job_type: str, node: str) -> bool:
        return self.node in ("", node) and (self.types is None or job_type in self.types)


def open_breakers(site: Site) -> tuple[OpenBreaker, ...]:
    """The breakers that keep jobs from a site, or from one of its nodes."""
    here = (
        Breaker.objects.not_closed()
        .filter(Q(site=site) | Q(site=None), experiment=site.experiment_id)
        .exclude(rule=STORAGE_BREAKER)
    )
    breakers = []
    for row in here.select_related("experiment"):
        profile = profile_of(row.experiment.name)
        types = types_held(profile, profile.breakers.get(row.rule))
        breakers.append(OpenBreaker(row.pk, row.node, types, row.due if row.state == BreakerState.OPEN else FOREVER))
    return tuple(breakers)


def types_held(profile: Experiment, rule: BreakerRule | None) -> frozenset[str] | None:
    """The types of jobs that a breaker holds and counts; None: all of them."""
    if rule is None or not rule.holds:
        return None
    return frozenset(name for name, job_type in profile.job_types.items() if job_type.kind in rule.holds)


def held_types(breakers: Iterable[OpenBreaker], at: datetime) -> tuple[bool, frozenset[str]]:
    """Whether a whole site gets nothing now, and otherwise the types of jobs that it does not get."""
    shut = [breaker for breaker in breakers if breaker.node == "" and breaker.due > at]
    everything = any(breaker.types is None for breaker in shut)
    return everything, frozenset(name for breaker in shut for name in breaker.types or ())


def start_probes(breakers: Iterable[OpenBreaker], job: int, attempt: int, number: int, at: datetime) -> None:
    """Make an attempt the probe of these breakers, in the transaction that makes it, or raise ProbeTakenError."""
    for breaker in breakers:
        due = Breaker.objects.filter(pk=breaker.breaker, state=BreakerState.OPEN, due__lte=at)
        reason = Reason("dispatch", f"attempt {number} of job {job} tries whether it works again", "attempt")
        if not advance(BREAKER, due, (BreakerState.OPEN,), BreakerState.PROBING, reason, probe_id=attempt):
            raise ProbeTakenError
