"""Placement: the nodes and sites that a job avoids after failures there, as long as another place can take it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from pilotext.server.production.models import Agent, Attempt, AvoidedPlace, Job, Site, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import ACTIVE_ATTEMPT, AgentState
from pilotext.server.times import EPOCH, earlier, now

Avoid = Mapping[str, datetime]
"""Places as `AvoidedPlace` has them: nodes, and sites as `site:NAME`, each until a point in time."""

_SITE = "site:"


def of_site(name: str) -> str:
    return _SITE + name


def nodes_of(avoid: Avoid) -> dict[str, datetime]:
    """Return the avoided nodes, without the sites."""
    return {place: until for place, until in avoid.items() if not place.startswith(_SITE)}


def avoids(avoid: Avoid, places: Collection[str], at: datetime) -> bool:
    """Whether one of these places is avoided now."""
    return bool(avoid) and any(avoid.get(place, EPOCH) > at for place in places)


def avoided_by(jobs: Collection[int]) -> dict[int, dict[str, datetime]]:
    """Return the places that each of these jobs avoids; those that avoid none are left out."""
    found: defaultdict[int, dict[str, datetime]] = defaultdict(dict)
    for job, place, until in AvoidedPlace.objects.filter(job__in=jobs).values_list("job_id", "place", "until"):
        found[job][place] = until
    return dict(found)


def avoid_places(job: int, places: Avoid, at: datetime) -> None:
    """Keep a job away from these places, beside those that it avoids still; in a transaction."""
    AvoidedPlace.objects.filter(job=job, until__lte=at).delete()
    for place, until in places.items():
        AvoidedPlace.objects.update_or_create(job_id=job, place=place, defaults={"until": until})


def not_avoiding(jobs: QuerySet[Job], places: Collection[str], at: datetime) -> QuerySet[Job]:
    """Return those of the jobs that avoid none of these places now."""
    avoiding = AvoidedPlace.objects.filter(job=OuterRef("pk"), place__in=places, until__gt=at)
    return jobs.filter(~Exists(avoiding))


def another_place_exists(task: Task, avoid: Avoid, *, only_site: int | None = None) -> bool:
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
    since = earlier(at, profile_of(task.experiment.name).retry.heard_s)
    agents = Agent.objects.filter(site=OuterRef("pk"), state=AgentState.ACTIVE, seen__gte=since).exclude(host__in=nodes)
    there = Attempt.objects.filter(site=OuterRef("pk")).exclude(node__in=nodes)
    busy, was_there = there.filter(state__in=ACTIVE_ATTEMPT), there.filter(ended__gte=since)
    return sites.filter(Q(Exists(agents)) | Q(Exists(busy)) | Q(Exists(was_there))).exists()
