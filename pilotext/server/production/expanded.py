"""From rows to the complete job that a worker takes."""

from __future__ import annotations

from pilotext.model.job import Input, Job, ReportTarget
from pilotext.profile import records as profile
from pilotext.profile.expand import AttemptFacts, FileFacts, TaskFacts, merge_job, production_job
from pilotext.server.production import models
from pilotext.server.production.earlier import with_earlier_files
from pilotext.server.production.profiles import profile_of


def task_facts(task: models.Task) -> TaskFacts:
    return TaskFacts(task.name, task.type, task.parameters, task.environment)


def expand(
    task: models.Task, job: models.Job, attempt: int, report: ReportTarget | None = None, panda_id: int | None = None
) -> Job:
    """The job of this row as its n-th attempt. Raises UsageError when the profile cannot make it (any more).

    For a worker, which needs a `report` target, it says what may be replaced where it publishes.
    """
    experiment = profile_of(task.experiment.name)
    facts = AttemptFacts(
        job=job.pk,
        attempt=attempt,
        type=job.type,
        run=job.run,
        chunk=job.chunk,
        memory_mb=job.memory_mb,
        report=report,
        panda_id=panda_id,
    )
    if job.product:
        made = _merge(experiment, task, job, facts)
    else:
        file = FileFacts(job.file, job.size, job.adler32 or None, job.events)
        made = production_job(experiment, task_facts(task), file, facts)
    return made if report is None else with_earlier_files(job, attempt, made)


def _merge(experiment: profile.Experiment, task: models.Task, job: models.Job, facts: AttemptFacts) -> Job:
    group = job.group
    inputs = [
        Input(
            name=output.name,
            sources=(output.url,),
            size=output.size,
            adler32=output.adler32,
            # Of histograms it is the entries of everything in the file, which no reader takes for its events.
            events=None if output.kind == "hist" else output.events,
        )
        for output in group.inputs.order_by("job__chunk", "job_id")
    ]
    return merge_job(experiment, task_facts(task), inputs, facts, merge=job.product, number=group.number)
