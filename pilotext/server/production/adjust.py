"""What managers change while a production runs, each change with its line in the audit trail; in a transaction."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from pilotext.api.schemas.sites import BreakerHold, SiteLimit
from pilotext.api.schemas.tasks import TaskSettings
from pilotext.errors import UsageError
from pilotext.profile.records import unknown
from pilotext.server.production.advance import Reason, advance, record
from pilotext.server.production.decisions import move_breaker
from pilotext.server.production.machines.breaker import Place
from pilotext.server.production.models import Agent, Breaker, Event, Job, Site, Task
from pilotext.server.production.named import experiment_named, site_named
from pilotext.server.production.profiles import SITE_LIMIT, profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import AGENT


def change_task(task: int, asked: TaskSettings, reason: Reason) -> list[int]:
    """Change settings of a task. Raises RefusalError when there is none, or nothing to change."""
    row = Task.objects.select_for_update().filter(pk=task).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task}.")
    wanted = {"priority": asked.priority, "share": asked.share, "max_attempts": asked.max_attempts}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if not wanted:
        raise RefusalError("invalid", f"what shall be otherwise? There are {', '.join(asked.__struct_fields__[1:])}.")
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    if not changes:
        return []
    Task.objects.filter(pk=task).update(**changes)
    if "priority" in changes:
        Job.objects.filter(task=task).update(priority=F("priority") + changes["priority"] - row.priority)
    for name, value in changes.items():
        record("task setting", f"{name} {value:g}", reason, [(task, f"{name} {getattr(row, name):g}", task)])
    return [task]


def limit_site(asked: SiteLimit, reason: Reason) -> list[int]:
    """Say how many attempts may run at a site at once. Raises RefusalError when there is no such site."""
    row = _site(asked.site)
    limit = asked.max_active
    if limit is None:
        site = profile_of(row.experiment.name).sites.get(row.name)
        limit = site.max_active if site else None
    after = "profile" if asked.max_active is None else str(asked.max_active)
    last = Event.objects.filter(subject=SITE_LIMIT, subject_id=row.pk).order_by("-pk").first()
    if (last.after if last else "profile") == after:
        return []
    Site.objects.filter(pk=row.pk).update(max_active=limit)
    record(SITE_LIMIT, after, reason, [(row.pk, last.after if last else "profile", None)])
    return [row.pk]


def hold(asked: BreakerHold, reason: Reason) -> list[int]:
    """Open a breaker by hand. Raises RefusalError when there is no such rule, or not the place that it is about."""
    experiment = experiment_named(asked.experiment)
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
        raise RefusalError("invalid", f"{site.name} is no site of {experiment.name}.")
    place = Place(site.pk, site.name, asked.node) if site else Place()
    fields = {"site_id": place.site, "node": place.node, "changed": 0.0}
    breaker, _ = Breaker.objects.get_or_create(
        experiment=experiment, rule=asked.rule, scope=place.scope, defaults=fields
    )
    return move_breaker(breaker.pk, "open", reason)


def drain_agent(agent: int, reason: Reason) -> list[int]:
    """An agent gets no more jobs, and is told so when it asks. Raises RefusalError when there is no such agent."""
    rows = Agent.objects.filter(pk=agent)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no agent {agent}.")
    return advance(AGENT, rows, ("active", "gone"), "draining", reason)


def _site(name: str) -> Site:
    rows = Site.objects.select_for_update(of=("self",)).select_related("experiment")
    return rows.get(pk=site_named(name).pk)
