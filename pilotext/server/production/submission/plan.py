"""From a whole task to its jobs, every input accounted for: it is one job, or it is refused with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from pilotext.errors import UsageError
from pilotext.model import Job, Record
from pilotext.profile.expand import (
    AttemptFacts,
    FileFacts,
    TaskFacts,
    base_name,
    check_task,
    parse_input,
    production_job,
)
from pilotext.profile.records import Experiment, unknown
from pilotext.server.production.submission.document import WholeTask

Lister = Callable[[str], Sequence[str]]


class Planned(Record, frozen=True):
    """One job to be: its input, and what its name says."""

    file: FileFacts
    run: int | None
    chunk: int | None


class Refused(Record, frozen=True):
    """An input that is no job, and why."""

    file: str
    why: str


class Plan(Record, frozen=True):
    """All of a task: `merges` are the products of each of its runs, `staging` whether inputs come from tape."""

    facts: TaskFacts
    jobs: tuple[Planned, ...]
    refused: tuple[Refused, ...]
    merges: tuple[str, ...]
    staging: bool
    digest: str

    @property
    def runs(self) -> tuple[int, ...]:
        return tuple(sorted({job.run for job in self.jobs if job.run is not None}))


def make_plan(experiment: Experiment, whole: WholeTask, lister: Lister) -> Plan:
    """Plan a task. Raises UsageError for what is wrong with the task as a whole, StorageError from `lister`."""
    task = whole.task
    facts = TaskFacts(task.name, task.type, task.parameters, task.environment)
    check_task(experiment, facts)
    job_type = experiment.type(task.type)
    for name in task.sites:
        if name not in experiment.sites:
            raise unknown(f"{experiment.name} has no site", name, list(experiment.sites))
    merges = job_type.merges if task.merges is None else task.merges
    for name in merges:
        if name not in job_type.merges:
            raise unknown(f"{task.type!r} has no merge", name, list(job_type.merges))
    if job_type.input is None:
        raise UsageError(f"{task.type!r} reads no files; nothing can be submitted for it.")
    jobs, refused = _sorted_out(experiment, whole, facts, lister)
    return Plan(facts, jobs, refused, merges, _staging(experiment, whole), _digest(whole, jobs))


def preview(plan: Plan, experiment: Experiment) -> Iterator[Job]:
    """The jobs as a worker would get them, numbered from 1."""
    for number, job in enumerate(plan.jobs, 1):
        yield production_job(experiment, plan.facts, job.file, _attempt(plan.facts, job, number))


def _attempt(facts: TaskFacts, job: Planned, number: int) -> AttemptFacts:
    return AttemptFacts(number, 1, facts.type, run=job.run, chunk=job.chunk)


def _sorted_out(
    experiment: Experiment, whole: WholeTask, facts: TaskFacts, lister: Lister
) -> tuple[tuple[Planned, ...], tuple[Refused, ...]]:
    known = {base_name(entry.file): entry for entry in whole.catalogue}
    jobs: dict[tuple[int | None, int | None, str], Planned] = {}
    refused: list[Refused] = []
    for file in _files(experiment, whole, lister):
        entry = known.get(base_name(file), FileFacts(file))
        try:
            job = _planned(experiment, facts, msgspec.structs.replace(entry, file=file))
        except UsageError as error:
            refused.append(Refused(file, str(error)))
            continue
        key = (job.run, job.chunk, base_name(file))
        if key in jobs:
            refused.append(Refused(file, f"it is {jobs[key].file.file} a second time."))
        else:
            jobs[key] = job
    if jobs:  # what is wrong with the task itself shows with any file
        first = next(iter(jobs.values()))
        production_job(experiment, facts, first.file, _attempt(facts, first, 1))
    return tuple(jobs.values()), tuple(refused)


def _planned(experiment: Experiment, facts: TaskFacts, file: FileFacts) -> Planned:
    values = parse_input(experiment, facts.type, file.file)
    if file.events is not None and file.events <= 0:
        raise UsageError(f"the catalogue says that it has {file.events} events.")
    run, chunk = values.get("run"), values.get("chunk")
    return Planned(file, int(run) if run is not None else None, int(chunk) if chunk is not None else None)


def _files(experiment: Experiment, whole: WholeTask, lister: Lister) -> Iterator[str]:
    files = whole.task.files
    yield from files.these
    yield from whole.listed
    for url in files.folder:
        yield from lister(url)
    for entry in whole.catalogue if files.runs else ():
        try:
            run = parse_input(experiment, whole.task.type, entry.file).get("run")
        except UsageError:
            continue  # a catalogue may know files of other forms; only those of the runs are asked for
        if run in files.runs:
            yield entry.file


def _staging(experiment: Experiment, whole: WholeTask) -> bool:
    rule = experiment.type(whole.task.type).input
    if whole.task.staging is not None or rule is None:
        return bool(whole.task.staging)
    sites = whole.task.sites or tuple(experiment.sites)
    return rule.tape and any(experiment.sites[name].staging for name in sites)


def _digest(whole: WholeTask, jobs: Sequence[Planned]) -> str:
    """Equal for the same task; whether it starts at once does not make it another one."""
    same = msgspec.structs.replace(whole.task, start=True)
    encoder = msgspec.json.Encoder(order="deterministic")
    return hashlib.sha256(encoder.encode([same, [job.file for job in jobs]])).hexdigest()
