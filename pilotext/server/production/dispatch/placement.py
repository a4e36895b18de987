"""Keeping a job away from where it failed, as long as somebody else is there who could take it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, FloatField, Func, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler

from pilotext.server.production.models import Agent, Attempt, Job, Site, Task
from pilotext.server.production.models.common import now
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import ACTIVE_ATTEMPT

Avoid = Mapping[str, float]
"""As `Job.avoid` has it: nodes, and sites as `site:NAME`, each until a point in time."""

Sql = tuple[str, tuple[str | int, ...]]

_SITE = "site:"


def of_site(name: str) -> str:
    return _SITE + name


def nodes_of(avoid: Avoid) -> dict[str, float]:
    """What is avoided, but for sites."""
    return {place: until for place, until in avoid.items() if not place.startswith(_SITE)}


def avoids(avoid: Avoid, places: Collection[str], at: float) -> bool:
    """Whether one of these places is avoided now."""
    return bool(avoid) and any(avoid.get(place, 0.0) > at for place in places)


class _Until(Func):
    """Until when a job avoids a place, NULL if it does not; told by the database, which goes through many jobs fast."""

    def __init__(self, place: str) -> None:
        super().__init__("avoid", output_field=FloatField())
        self.place = place

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:  # noqa: ARG002 - Django's
        sql, parameters = compiler.compile(self.source_expressions[0])
        return f"JSON_EXTRACT({sql}, %s)", (*parameters, f"$.{json.dumps(self.place, ensure_ascii=False)}")

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:  # noqa: ARG002 - Django's
        sql, parameters = compiler.compile(self.source_expressions[0])
        return f"({sql} ->> %s)::double precision", (*parameters, self.place)


def welcome(jobs: QuerySet[Job], places: Collection[str], at: float) -> QuerySet[Job]:
    """Those of the jobs that avoid none of these places now."""
    for number, place in enumerate(places):
        until = f"kept_away_{number}"
        jobs = jobs.alias(**{until: Coalesce(_Until(place), Value(0.0))}).filter(**{f"{until}__lte": at})
    return jobs


def somebody_else(task: Task, avoid: Avoid, *, only_site: int | None = None) -> bool:
    """Whether anybody was heard of lately at a place that is not avoided, and that can have such a job of this task."""
    at = now()
    kept_off = [place for place, until in avoid.items() if until > at]
    nodes = ["", *nodes_of(avoid).keys() & {*kept_off}]
    sites = Site.objects.filter(experiment=task.experiment_id, closed="")
    sites = sites.exclude(name__in=[place.removeprefix(_SITE) for place in kept_off if place.startswith(_SITE)])
    if only_site is not None:
        sites = sites.filter(pk=only_site)
    elif task.sites:
        sites = sites.filter(name__in=task.sites)
    since = at - profile_of(task.experiment.name).retry.heard_s
    agents = Agent.objects.filter(site=OuterRef("pk"), state="active", seen__gte=since).exclude(host__in=nodes)
    there = Attempt.objects.filter(site=OuterRef("pk")).exclude(node__in=nodes)
    busy, was_there = there.filter(state__in=ACTIVE_ATTEMPT), there.filter(ended__gte=since)
    return sites.filter(Q(Exists(agents)) | Q(Exists(busy)) | Q(Exists(was_there))).exists()
