"""From a profile, a task and a file to the complete job; pure, so that a dry run prints what a worker would get."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec.structs import replace

from pilotext.errors import UsageError
from pilotext.model import Record
from pilotext.model.job import Input, Job, LogTarget, Output, ReportTarget
from pilotext.profile.records import Experiment, InputFile, JobType, OutputFile, unknown
from pilotext.profile.templates import Scope, Value, parse

GENERATED_NAME = "generated-{run:d}-{chunk:d}"
"""Names a job that reads no file, in the place of its input."""

GENERATED_VALUES = frozenset({"seed", "events"})
"""Values of templates that only jobs which generate events have."""

RANGE_VALUES = frozenset({"range", "first_event", "events_before", "events"})
"""Values of templates that only jobs which process a range of events have."""


def own_values(job_type: JobType) -> frozenset[str]:
    """Return the values of templates that only jobs of such a type have."""
    generated: frozenset[str] = GENERATED_VALUES if job_type.generates else frozenset()
    return generated | RANGE_VALUES if job_type.splits else generated


class Generate(Record, frozen=True):
    """Jobs that read no file. They are the chunks 1, 2, … of one run, each with a seed of its own."""

    jobs: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    """Number of jobs."""
    events: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    """Number of events that each job makes."""
    run: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 1
    """Run number of all jobs; their products are merged by it."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 1
    """Seed of the first job; the next one has the next number."""


class TaskFacts(Record, frozen=True):
    """Values that all jobs of a task share; `parameters` are those of the task file."""

    name: str
    type: str
    parameters: dict[str, str | int | float] = {}
    environment: dict[str, str] = {}
    """Variables for this task's payloads, over those of the profile."""
    generate: Generate | None = None
    """Description of its jobs, where they read no file."""


class FileFacts(Record, frozen=True):
    """An input as the task names it, a path or a URL, and what a catalogue knows of it."""

    file: str
    size: int | None = None
    adler32: str | None = None
    events: int | None = None


class EventRange(Record, frozen=True):
    """A range of the events of a file: its number, from 1, the events before it, and its own."""

    number: int
    before: int
    events: int
    of: int | None = None
    """All events of the file, with which a worker compares what it reads; None: not known."""


class AttemptFacts(Record, frozen=True):
    """Identity of an attempt, and the results of earlier attempts."""

    job: int
    attempt: int
    type: str
    run: int | None = None
    chunk: int | None = None
    event_range: EventRange | None = None
    """The events of its input that it processes; None: all."""
    memory_mb: float | None = None
    report: ReportTarget | None = None
    panda_id: int | None = None


def base_name(file: str) -> str:
    """The own name of a file given as a path or a URL, whose opaque part is not of the name."""
    path = file.partition("?")[0] if "://" in file else file
    return path.rpartition("/")[2]


def check_task(experiment: Experiment, task: TaskFacts) -> None:
    """Raise UsageError for a type or a parameter that the experiment does not know, or a value of another form."""
    experiment.type(task.type)
    for name, value in task.parameters.items():
        if name not in experiment.parameters:
            raise unknown(f"{experiment.name} has no parameter", name, list(experiment.parameters))
        form = experiment.parameter_forms.get(name)
        if form is not None and not re.fullmatch(form.matches, str(value)):
            raise UsageError(f"the parameter `{name}` must {form.must}; it is {value!r}.")


def differing_parameters(experiment: Experiment, task: TaskFacts, file: str) -> Iterator[str]:
    """Return warnings for parameters that the folder of an input contradicts."""
    rule = experiment.type(task.type).input
    if rule is None or rule.folder is None:
        return
    folder = file.partition("://")[2].partition("?")[0] if "://" in file else file
    for name, value in _folder_values(rule.folder, folder.rpartition("/")[0] + "/").items():
        given = task.parameters.get(name, experiment.parameters.get(name))
        if given not in (None, "") and str(given) != str(value):
            yield f"in a folder of {name} {value!r}, and the task says {name} {str(given)!r}."


@functools.lru_cache(maxsize=1024)
def _folder_values(form: str, folder: str) -> dict[str, Value]:
    """Return the parameters that the end of a folder's name holds; none when it has another form."""
    end = folder.split("/")[-len(form.split("/")) :]
    return parse(form, "/".join(end)) or {}


def parse_input(experiment: Experiment, job_type: str, file: str) -> dict[str, Value]:
    """Return the values in an input name, for example run and chunk. Raises UsageError for another form."""
    form = input_form(experiment, experiment.type(job_type))
    if form is None:
        raise UsageError(f"jobs of type {job_type!r} take no input files.")
    values = parse(form, base_name(file))
    if values is None:
        raise UsageError(f"{base_name(file)!r} has not the form {form!r}.")
    return values


def input_form(experiment: Experiment, job_type: JobType) -> str | None:
    """Return the form of the names that tell jobs of a type apart; None for merges, which a task does not list."""
    if job_type.generates:
        return GENERATED_NAME
    return None if job_type.input is None else experiment.names[job_type.input.form]


def input_values(
    experiment: Experiment, task: TaskFacts, file: str, event_range: EventRange | None = None
) -> dict[str, Value]:
    """Return the values that templates of a production job may use of its input, or of its number among generated jobs.

    Those of a job that processes a range of the events are added where the range is given.
    Raises UsageError for a file of another form, and for generated jobs of a task that does not describe them.
    """
    values = {**parse_input(experiment, task.type, file), "file": file}
    if event_range is not None:
        own = {"range": event_range.number, "events": event_range.events, "events_before": event_range.before}
        return {**values, **own, "first_event": event_range.before + 1}
    if not experiment.type(task.type).generates:
        return values
    if task.generate is None:
        raise UsageError(f"the task {task.name} does not say how many events its jobs make.", advice="Add `generate`.")
    return {**values, "seed": task.generate.seed + int(values["chunk"]) - 1, "events": task.generate.events}


def production_job(
    experiment: Experiment, task: TaskFacts, file: FileFacts, facts: AttemptFacts, further: Sequence[FileFacts] = ()
) -> Job:
    """The job that reads a file, and `further` ones of its run, or generates events. Its values are of the first file.

    Raises UsageError when a file, the task or the profile cannot make one.
    """
    job_type = experiment.type(facts.type)
    scope = _scope(experiment, task, job_type, facts, input_values(experiment, task, file.file, facts.event_range))
    if job_type.input is None:
        return _job(experiment, task, facts, scope, ())
    if facts.event_range is not None:  # a worker compares the file with the events of the whole of it
        file = replace(file, events=facts.event_range.of)
    inputs = [_input(job_type.input, file, scope)]
    for each in further:
        own = _scope(experiment, task, job_type, facts, input_values(experiment, task, each.file))
        inputs.append(_input(job_type.input, each, own))
    return _job(experiment, task, facts, scope, tuple(inputs))


def _input(rule: InputFile, file: FileFacts, scope: Scope) -> Input:
    sources = (file.file,) if "://" in file.file else tuple(map(scope.print, rule.sources))
    return Input(name=base_name(file.file), sources=sources, size=file.size, adler32=file.adler32, events=file.events)


def merge_job(
    experiment: Experiment, task: TaskFacts, inputs: Sequence[Input], facts: AttemptFacts, *, merge: str, number: int
) -> Job:
    """The job that makes the merged file `number`, from 0, of one run. The order of `inputs` is that of the merge."""
    job_type = experiment.type(facts.type)
    merged = merged_name(experiment, task, merge, run=facts.run, number=number)
    scope = _scope(experiment, task, job_type, facts, {"merged": merged, "number": number})
    return _job(experiment, task, facts, scope, tuple(inputs))


def merged_name(experiment: Experiment, task: TaskFacts, merge: str, *, run: int | None, number: int) -> str:
    """The name of a merged file: the first of a run has no suffix."""
    rule = experiment.merges[merge]
    own: dict[str, Value | None] = {"experiment": experiment.name, "task": task.name, "run": run, "number": number}
    scope = Scope(experiment.names, experiment.parameters, task.parameters, own)
    return scope.value(rule.name) + (scope.print(rule.suffix) if number else "")


def printed(experiment: Experiment, task: TaskFacts, template: str, *, run: int | None = None) -> str:
    """A text about a task, or one of its runs, as its own job type prints it. Raises UsageError."""
    values = experiment.type(task.type).values
    own: dict[str, Value | None] = {"experiment": experiment.name, "task": task.name, "run": run}
    layers = (experiment.names, experiment.parameters, experiment.values, values, task.parameters, own)
    return Scope(*layers).print(template)


def shared_layers(experiment: Experiment, task: TaskFacts, job_type: JobType) -> tuple[Mapping[str, Value | None], ...]:
    """The layers of names that are equal for all jobs of this type in a task."""
    return (
        experiment.names,
        experiment.parameters,
        experiment.values,
        experiment.type(task.type).values,  # a merge goes where the jobs went whose files it merges
        job_type.values,
        task.parameters,
    )


def _scope(
    experiment: Experiment,
    task: TaskFacts,
    job_type: JobType,
    facts: AttemptFacts,
    more: Mapping[str, Value | None],
) -> Scope:
    turn = facts.job + facts.attempt
    return Scope(
        *shared_layers(experiment, task, job_type),
        {name: options[turn % len(options)] for name, options in experiment.rotate.items()},
        {"experiment": experiment.name, "task": task.name, "job": facts.job, "attempt": facts.attempt},
        {"run": facts.run, "chunk": facts.chunk},
        more,
    )


def _job(
    experiment: Experiment,
    task: TaskFacts,
    facts: AttemptFacts,
    scope: Scope,
    inputs: tuple[Input, ...],
) -> Job:
    job_type = experiment.type(facts.type)
    names = [file.name for file in inputs]
    words = (names if word == "{inputs}" else [scope.print(word)] for word in job_type.command)
    limits = job_type.limits if facts.memory_mb is None else replace(job_type.limits, memory_mb=facts.memory_mb)
    log = job_type.log
    return Job(
        format=1,
        experiment=experiment.name,
        type=facts.type,
        kind=job_type.kind,
        command=tuple(word for group in words for word in group),
        task=task.name,
        job=facts.job,
        attempt=facts.attempt,
        panda_id=facts.panda_id,
        run=facts.run,
        chunk=facts.chunk,
        software=scope.print(experiment.software_version),
        setup=None if job_type.setup is None else scope.print(job_type.setup),
        environment={**{name: scope.print(text) for name, text in job_type.environment.items()}, **task.environment},
        credentials=job_type.credentials,
        inputs=inputs,
        outputs=tuple(_output(rule, scope) for rule in job_type.outputs),
        log=None if log is None else LogTarget(tuple(map(scope.print, log.to)), scope.print(log.name)),
        law=None if job_type.success.law is None else scope.print(job_type.success.law),
        soft_stop=job_type.soft_stop,
        limits=limits,
        report=facts.report,
    )


def _output(rule: OutputFile, scope: Scope) -> Output:
    return Output(
        name=scope.print(rule.name),
        kind=rule.kind,
        destinations=tuple(map(scope.print, rule.to)),
        publish_as=None if rule.publish_as is None else scope.print(rule.publish_as),
        check="raw" if rule.check == "date" else rule.check,  # the word that agents of former versions know
        when_empty=rule.when_empty,
    )
