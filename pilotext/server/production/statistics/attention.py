"""Parts of the production that need attention: what is silent, and what waits for a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, TextField, Value

from pilotext.server.production.cycle.status import SILENT_AFTER_S as CYCLE_SILENT_AFTER_S
from pilotext.server.production.dispatch.agents import GONE_AFTER_S
from pilotext.server.production.dispatch.factories import HEARD_S
from pilotext.server.production.models import Agent, Attempt, CycleStep, Factory, Job, LogArchive, Product
from pilotext.server.production.states import (
    ACTIVE_ATTEMPT,
    AgentState,
    JobState,
    LogArchiveState,
    ProductState,
)
from pilotext.server.production.waiting.jobs import PILOT_SILENT_AFTER_S, SILENT_AFTER_S
from pilotext.server.times import earlier, now

FORGOTTEN_AFTER = timedelta(days=7)
"""Silence after which a factory was given up."""

Subject = Literal["cycle", "step", "factory", "agent", "attempt", "job", "product", "archive"]


@dataclass(frozen=True)
class Concern:
    """Number of objects of one kind that need attention, with the time of the oldest.

    `name` is that of the factory, of the site of agents or attempts, or of the step of the cycle; `site` is the number
    of that site. `attempts` are those that silent agents hold.
    """

    subject: Subject
    number: int
    since: datetime | None
    name: str = ""
    attempts: int = 0
    site: int | None = None


def concerns(at: datetime | None = None) -> list[Concern]:
    """Return everything that needs attention, what stops all others first."""
    at = now() if at is None else at
    return [*_of_cycle(at), *_of_factories(at), *_of_silent_attempts(at), *_of_people()]


def silent_attempts(at: datetime) -> QuerySet[Attempt]:
    """Return the silent attempts that no silent agent holds: their concern counts them, and the list has them."""
    return _all_silent(at).annotate(alive=_agent_alive(at)).filter(Q(agent=None) | Q(alive=True))


def _all_silent(at: datetime) -> QuerySet[Attempt]:
    """Return the attempts that should have sent a heartbeat and have not, and whose lease has not ended yet."""
    limit = Q(pilot="", seen__lt=earlier(at, SILENT_AFTER_S)) | Q(seen__lt=earlier(at, PILOT_SILENT_AFTER_S))
    return Attempt.objects.active().filter(limit)


def _agent_alive(at: datetime) -> Q:
    """Return the condition that the agent of an attempt, or another attempt of this agent, was heard of."""
    point = earlier(at, GONE_AFTER_S)
    busy = Attempt.objects.filter(agent=OuterRef("agent"), state__in=ACTIVE_ATTEMPT, seen__gte=point)
    heard = Agent.objects.filter(pk=OuterRef("agent"), seen__gte=point).exclude(state=AgentState.GONE)
    return Exists(heard) | Exists(busy)


def _of_cycle(at: datetime) -> Iterator[Concern]:
    rows = list(CycleStep.objects.order_by("name"))
    last = max((row.at for row in rows), default=None)
    if last is None or last < earlier(at, CYCLE_SILENT_AFTER_S):
        yield Concern("cycle", 1, last)
    for row in rows:
        if row.error:
            yield Concern("step", 1, row.failing_since, row.name)


def _of_factories(at: datetime) -> Iterator[Concern]:
    silent = Factory.objects.filter(seen__lt=earlier(at, HEARD_S), seen__gte=at - FORGOTTEN_AFTER)
    for row in silent.order_by("seen", "pk"):
        yield Concern("factory", 1, row.seen, row.name)


def _of_silent_attempts(at: datetime) -> Iterator[Concern]:
    """Yield the agents of each site that hold attempts and are silent or gone, and the other silent attempts."""
    counted = (
        _all_silent(at)
        .order_by()
        .values("site", "site__name", "agent")
        .annotate(number=Count("pk"), since=Min("seen"))
        .annotate(alive=_agent_alive(at))  # after the others: it is asked once for an agent, not for each attempt
        .values_list("site", "site__name", "agent", "alive", "number", "since")
    )
    agents: defaultdict[tuple[str, int], list[tuple[int, datetime]]] = defaultdict(list)
    others: defaultdict[tuple[str, int], list[tuple[int, datetime]]] = defaultdict(list)
    for site, name, agent, alive, number, since in counted:
        found = others if agent is None or alive else agents
        found[name, site].append((number, since))
    for (name, site), held in sorted(agents.items()):
        since = min(since for _, since in held)
        yield Concern("agent", len(held), since, name, sum(number for number, _ in held), site)
    for (name, site), lone in sorted(others.items()):
        yield Concern("attempt", sum(number for number, _ in lone), min(since for _, since in lone), name, site=site)


def _of_people() -> Iterator[Concern]:
    jobs = _counted("job", Job.objects.filter(state=JobState.MANUAL))
    products = _counted("product", Product.objects.filter(state=ProductState.MANUAL))
    archives = _counted("archive", LogArchive.objects.filter(state=LogArchiveState.MANUAL))
    found = {subject: (number, since) for subject, number, since in jobs.union(products, archives, all=True)}
    for subject in _FOR_PEOPLE:
        number, since = found.get(subject, (0, None))
        if number:
            yield Concern(subject, number, since)


_FOR_PEOPLE: tuple[Subject, ...] = ("job", "product", "archive")


def _counted(subject: Subject, rows: QuerySet[Any]) -> QuerySet[Any, tuple[Any, ...]]:
    """Return the number of these rows and the time of the oldest one."""
    named = rows.order_by().annotate(subject=Value(subject, output_field=TextField()))
    found: QuerySet[Any, tuple[Any, ...]] = named.values_list("subject").annotate(Count("pk"), Min("changed"))
    return found
