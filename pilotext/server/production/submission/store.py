"""A plan into the database: task, jobs and products at once, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import replace

from pilotext.api.schemas.tasks import Submitted
from pilotext.formatting import counted_words
from pilotext.profile.records import Experiment
from pilotext.server.database import insert_many, transact
from pilotext.server.production.chained_inputs import why_not_readable
from pilotext.server.production.models import Job, JobInput, LeftOutInput, Product, Task
from pilotext.server.production.profiles import remember
from pilotext.server.production.published_names import claim
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import TASK, JobState, TaskState
from pilotext.server.production.submission.document import TaskFile
from pilotext.server.production.submission.labels import described_by
from pilotext.server.production.submission.naming import key_of, url_of
from pilotext.server.production.submission.plan import NO_JOBS, Plan
from pilotext.server.production.submission.planned import Planned
from pilotext.server.production.submission.succession import all_keys, take_over, taken_names
from pilotext.server.production.transitions import Reason, advance, record
from pilotext.server.times import now


def store(experiment: Experiment, task: TaskFile, plan: Plan, who: str) -> Submitted:
    """Make the task of a plan. The same task is made once however often it is asked for.

    Raises RefusalError for another task of the same name, for one without jobs, and for one whose published names
    belong to other tasks.
    """
    if not plan.jobs and not plan.may_be_empty:
        raise RefusalError("invalid", NO_JOBS)
    return transact(lambda: _store(experiment, task, plan, who))


def _store(experiment: Experiment, task: TaskFile, plan: Plan, who: str) -> Submitted:
    owner = remember(experiment)
    row, created = Task.objects.get_or_create(
        experiment=owner, name=task.name, defaults=_fields(experiment, task, plan, who)
    )
    if not created:
        if row.digest != plan.digest:
            raise RefusalError(
                "conflict",
                f"there is another task {task.name!r} already; give this one another name, and say `replaces` in it if"
                " it takes that one's place.",
            )
        return Submitted(row.pk, row.name, False, row.jobs.filter(product="").count(), plan.warnings)
    name = task.parent if plan.chain is None else plan.chain.parent
    if name is not None:
        parent = Task.objects.select_for_update(of=("self",)).filter(experiment=owner, name=name).first()
        if parent is None:
            raise RefusalError("invalid", f"there is no task {name!r}, which should be the parent.")
        if plan.chain is not None and (why := why_not_readable(parent, merged=plan.chain.merged)):
            raise RefusalError("conflict", why)
        Task.objects.filter(pk=row.pk).update(parent=parent)
    insert_jobs(experiment, row, plan, [job for _, job in plan.ready])
    insert_many(LeftOutInput, {"task": row}, ("file", "why"), [(each.file, each.why) for each in plan.refused])
    _claim(experiment, row, plan, Reason(who, f"replaced by {row.name}", "person"), task.replaces)
    record(TASK.name, TaskState.DRAFT, Reason(who, "submitted", "person"), [(row.pk, "", row.pk)])
    mine = Task.objects.filter(pk=row.pk)
    made = f"{counted_words(len(plan.ready), 'job')} defined, {counted_words(len(plan.refused), 'input')} left out"
    advance(TASK, mine, (TaskState.DRAFT,), TaskState.READY, Reason(who, made, "person"))
    if task.start:
        advance(TASK, mine, (TaskState.READY,), TaskState.RUNNING, Reason(who, "started with its submission", "person"))
    return Submitted(row.pk, row.name, True, len(plan.ready), plan.warnings)


def _claim(experiment: Experiment, row: Task, plan: Plan, reason: Reason, replaces: str | None) -> None:
    """Every name that the task will publish is its own from now on. Raises RefusalError."""
    keys = all_keys(plan)
    if replaces is not None:
        take_over(row, replaces, keys, reason)
    number = {(file, part): pk for file, part, pk in row.jobs.values_list("file", "event_range", "pk")}
    of_jobs = (
        (key, number.get((job.file.file, job.range_number)))
        for index, job in enumerate(plan.jobs)
        for key in plan.names.of_job(index)
    )
    of_task = ((key_of(url_of(place)), None) for place in plan.places)
    if claim(row.pk, chain(of_jobs, of_task)) != len(keys):
        taken = taken_names(experiment, plan, {row.name})
        assert taken is not None, "what could not be claimed has another owner"
        raise taken
    Task.objects.filter(pk=row.pk).update(names=len(keys))


def _fields(experiment: Experiment, task: TaskFile, plan: Plan, who: str) -> dict[str, Any]:
    return {
        **described_by(task.parameters, who),
        "type": task.type,
        "parameters": dict(task.parameters),
        "environment": dict(task.environment),
        "generate": None if task.generate is None else msgspec.to_builtins(task.generate),
        "sites": list(task.sites),
        "priority": task.priority,
        "share": task.share,
        "staging": plan.staging,
        "max_attempts": task.max_attempts or experiment.retry.attempts,
        "document": msgspec.to_builtins(replace(task, files=replace(task.files, these=()))),  # they are the jobs'
        "digest": plan.digest,
        "input_kind": "" if plan.chain is None else plan.chain.kind,
        "input_merged": plan.chain is not None and plan.chain.merged,
    }


def insert_jobs(experiment: Experiment, task: Task, plan: Plan, jobs: Sequence[Planned]) -> None:
    """Insert these jobs of a plan, and the products of their runs that are not there; in a transaction."""
    sources = {} if plan.chain is None else plan.chain.outputs
    job_type = experiment.type(task.type)
    at = now()
    same = {
        "task": task,
        "type": task.type,
        "state": JobState.DEFINED if plan.staging else JobState.READY,
        "priority": job_type.priority + task.priority,
        "created": at,
        "changed": at,
    }
    differing = ("file", "files", "run", "chunk", "event_range", "size", "adler32", "events", "source_id")
    rows = (
        (
            job.file.file,
            len(job.inputs),
            job.run,
            job.chunk,
            job.range_number,
            _sum([file.size for file in job.inputs]),
            "" if job.further else job.file.adler32 or "",
            _sum([file.events for file in job.inputs]),
            sources.get(job.file.file),
        )
        for job in jobs
    )
    insert_many(Job, same, differing, rows)
    _insert_inputs(task, [job for job in jobs if job.further])
    runs = sorted({job.run for job in jobs if job.run is not None})
    known = set(Product.objects.filter(task=task).values_list("run", "merge"))
    made = [(run, each) for run in runs for each in plan.merges if (run, each) not in known]
    insert_many(Product, {"task": task, "changed": at}, ("run", "merge"), made)


def _insert_inputs(task: Task, jobs: Sequence[Planned]) -> None:
    """Insert the inputs of jobs that have several."""
    number_of_job = dict(task.jobs.filter(files__gt=1).values_list("file", "pk")) if jobs else {}
    rows = (
        (number_of_job[job.file.file], number, file.file, file.size, file.adler32 or "", file.events)
        for job in jobs
        for number, file in enumerate(job.inputs, 1)
    )
    insert_many(JobInput, {}, ("job_id", "number", "file", "size", "adler32", "events"), rows)


def _sum(numbers: Sequence[int | None]) -> int | None:
    """Return the sum; None where one of them is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
