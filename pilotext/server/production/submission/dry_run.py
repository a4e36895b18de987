"""A dry run with all that the server knows: whose the names are, and whether anybody is there to take the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec
from django.db.models import Exists, OuterRef, Q, QuerySet

from pilotext.api.schemas.tasks import DryRun, TakenName
from pilotext.profile.records import Experiment
from pilotext.server.database import transact
from pilotext.server.production.models import Agent, Attempt, Site, Task
from pilotext.server.production.states import AgentState
from pilotext.server.production.submission.document import TaskFile
from pilotext.server.production.submission.plan import Plan, describe
from pilotext.server.production.submission.succession import taken_names, why_not_replaceable
from pilotext.server.times import earlier, now


def dry_run(experiment: Experiment, task: TaskFile, plan: Plan) -> DryRun:
    """Return the effect of a submission of this plan, or the reason of its refusal; nothing is stored."""
    taken = taken_names(experiment, plan, {task.name, task.replaces or task.name})
    told = describe(experiment, plan)
    return msgspec.structs.replace(
        told,
        warnings=(*told.warnings, *site_warnings(experiment, task)),
        problems=(*told.problems, *_problems(experiment, task, plan)),
        taken=() if taken is None else tuple(TakenName(url, each.task, each.job) for url, each in taken.taken),
        taken_count=0 if taken is None else taken.count,
    )


def _problems(experiment: Experiment, task: TaskFile, plan: Plan) -> Iterator[str]:
    tasks = Task.objects.filter(experiment__name=experiment.name)
    same = tasks.filter(name=task.name).first()
    if same is not None and same.digest != plan.digest:
        yield f"there is another task {task.name!r} already; give this one another name."
    if task.parent is not None and not tasks.filter(name=task.parent).exists():
        yield f"there is no task {task.parent!r}, which should be the parent."
    if task.replaces is None or (same is not None and same.digest == plan.digest):
        return
    earlier = tasks.filter(name=task.replaces).first()
    if earlier is None:
        yield f"there is no task {task.replaces!r} to replace."
    elif why := transact(lambda: why_not_replaceable(earlier)):
        yield why


def site_warnings(experiment: Experiment, task: TaskFile) -> tuple[str, ...]:
    """Sites of a task where nobody would take its jobs now, in words."""
    wanted = [name for name in task.sites if name in experiment.sites]
    merging = {experiment.sites[name].merging for name in wanted} - {None}
    sites = Site.objects.filter(experiment__name=experiment.name)
    if wanted:
        sites = sites.filter(name__in={*wanted, *merging})
    minutes = experiment.retry.heard_s / 60
    heard = set(_heard(sites, earlier(now(), experiment.retry.heard_s)))
    closed = [f"the site {row.name} is closed: {row.closed}" for row in sites.exclude(closed="").order_by("name")]
    if not wanted:
        silent = [] if heard else [f"at any site of {experiment.name}"]
    else:
        silent = [f"at {name}" for name in sites.order_by("name").values_list("name", flat=True) if name not in heard]
    nobody = [f"no agent or pilot was active {where} in the last {minutes:g} minutes." for where in silent]
    return (*closed, *nobody)


def _heard(sites: QuerySet[Site], since: datetime) -> Iterator[str]:
    agents = Agent.objects.filter(site=OuterRef("pk"), state=AgentState.ACTIVE, seen__gte=since)
    tries = Attempt.objects.filter(site=OuterRef("pk"))
    busy, was_there = tries.active(), tries.filter(ended__gte=since)
    there = sites.filter(Q(Exists(agents)) | Q(Exists(busy)) | Q(Exists(was_there)))
    yield from there.values_list("name", flat=True)
