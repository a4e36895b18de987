"""What would become of a task, for people: how many jobs, where every file goes, and one job whole. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pilotext.api.schemas.tasks import DryRun, PlannedFile, RefusedInput
from pilotext.model.job import Job
from pilotext.profile.records import Experiment
from pilotext.server.production.submission.naming import shared_places, url_of
from pilotext.server.production.submission.plan import Plan, preview
from pilotext.storage.urls import is_folder, join

MAX_REFUSED = 100


def describe(experiment: Experiment, plan: Plan) -> DryRun:
    """The dry run of a plan, as far as it can be told without the server's database."""
    example = next(preview(plan, experiment), None)
    return DryRun(
        jobs=len(plan.jobs),
        runs=len(plan.runs),
        merges=plan.merges,
        staging=plan.staging,
        names=len(plan.names.keys) + len(plan.places),
        refused=tuple(RefusedInput(each.file, each.why) for each in plan.refused[:MAX_REFUSED]),
        refused_count=len(plan.refused),
        warnings=plan.warnings,
        example=example,
        files=() if example is None else tuple(_files(experiment, plan, example)),
    )


def _files(experiment: Experiment, plan: Plan, job: Job) -> Iterator[PlannedFile]:
    for output in job.outputs:
        for to in output.destinations:
            yield PlannedFile(output.kind, join(to, output.published_name) if is_folder(to) else to)
    if job.log is not None:
        for to in job.log.destinations:
            yield PlannedFile("log", join(to, job.log.name or "") if is_folder(to) else to)
    runs = [] if job.run is None else [job.run]
    for place in shared_places(experiment, plan.facts, runs, plan.merges):
        yield PlannedFile(place.what, url_of(place))
