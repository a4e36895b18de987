"""Further jobs of a stored task: outputs of its parent that were published after its submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from pilotext.model import Record
from pilotext.profile.records import Experiment
from pilotext.serialization.json import from_plain
from pilotext.server.database import insert_many
from pilotext.server.production.chained_inputs import facts_of
from pilotext.server.production.models import Job, LeftOutInput, Output, PublishedFile, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import Owned, claim, owners
from pilotext.server.production.states import JOB
from pilotext.server.production.submission.document import TaskFile, WholeTask
from pilotext.server.production.submission.naming import key_of, url_of
from pilotext.server.production.submission.plan import Chain, Plan, Refused, make_plan
from pilotext.server.production.submission.planned import Planned
from pilotext.server.production.submission.store import insert_jobs
from pilotext.server.production.transitions import Reason, record

_WHO = "chains"


class Added(Record, frozen=True):
    """Number of new jobs, and their runs."""

    jobs: int
    runs: frozenset[int | None]


def add_jobs(task: Task, outputs: Sequence[Output]) -> Added:
    """Make a job of each of these outputs of the task's parent; in a transaction.

    One that makes no job is left out with the reason, also where another task owns a name that its job would publish.
    Raises UsageError when the profile cannot make jobs of the task any more.
    """
    experiment = profile_of(task.experiment.name)
    plan = _plan(experiment, task, outputs)
    taken = {each.key: each for each in owners(_keys(plan)) if not _is_free(task, each)}
    jobs, refused = [], list(plan.refused)
    for index, job in plan.ready:
        if owned := _taken(plan, index, taken):
            refused.append(Refused(job.file.file, f"a name that it would publish is that of {_owner(owned)}."))
        else:
            jobs.append((index, job))
    insert_many(LeftOutInput, {"task": task}, ("file", "why"), [(each.file, each.why) for each in refused])
    if jobs:
        insert_jobs(experiment, task, plan, [job for _, job in jobs])
        _take_names(task, plan, jobs, outputs)
    return Added(len(jobs), frozenset(job.run for _, job in jobs))


def _plan(experiment: Experiment, task: Task, outputs: Sequence[Output]) -> Plan:
    assert task.parent is not None, "only tasks in a chain get further jobs"
    document = from_plain(task.document, TaskFile)
    inputs = Chain(
        asked=document,
        parent=task.parent.name,
        kind=task.input_kind,
        merged=task.input_merged,
        facts=tuple(facts_of(experiment, output) for output in outputs),
        outputs={output.url: output.pk for output in outputs},
        more=True,
    )
    return make_plan(experiment, WholeTask(document), lambda _: (), inputs)


def _is_free(task: Task, owned: Owned) -> bool:
    """Whether a name is the task's own, and of none of its jobs so far."""
    return owned.job is None and owned.is_of(task.experiment.name, [task.name])


def _owner(owned: Owned) -> str:
    return f"task {owned.task}" + ("" if owned.job is None else f", job {owned.job}")


def _keys(plan: Plan) -> list[int]:
    return [*plan.names.keys, *(key_of(url_of(place)) for place in plan.places)]


def _taken(plan: Plan, index: int, taken: Mapping[int, Owned]) -> Owned | None:
    """Return the owner of a name that this job would publish, or of one of the files of all jobs, if it has one."""
    shared = (key_of(url_of(place)) for place in plan.places) if taken else ()
    return next((taken[key] for key in (*plan.names.of_job(index), *shared) if key in taken), None)


def _take_names(task: Task, plan: Plan, jobs: Sequence[tuple[int, Planned]], outputs: Sequence[Output]) -> None:
    """Give each new job its names: they are the task's since its submission, where they were known then."""
    sources = {output.pk: output for output in outputs}
    made = Job.objects.filter(task=task, source__in=sources)
    numbers = {job.file: job for job in made}
    names = ((key, numbers[job.file.file].pk) for index, job in jobs for key in plan.names.of_job(index))
    claim(task.pk, chain(names, ((key_of(url_of(place)), None) for place in plan.places)))
    for index, job in jobs:
        mine = PublishedFile.objects.filter(pk__in=plan.names.of_job(index), task=task.pk, job=None)
        mine.update(job=numbers[job.file.file].pk)
    for row in numbers.values():
        source = sources[row.source_id or 0]
        reason = Reason(_WHO, f"its input was published by job {source.job_id}", "cycle")
        record(JOB.name, row.state, reason, [(row.pk, "", task.pk)])
