"""Names of all files that a task will publish: a pure function, so that every name has an owner beforehand.

Outputs of production jobs are described by forms, since there are many of them: texts in which only what a file's name
says is open. Merged files, their copies on tape and archives of logs are few, and each is listed.
"""

from __future__ import annotations

from collections.abc import Iterator

from pilotext.model import Record
from pilotext.profile.job_builder import (
    AttemptFacts,
    TaskFacts,
    input_form,
    merge_job,
    own_values,
    printed,
    shared_layers,
)
from pilotext.profile.records import Experiment
from pilotext.profile.templates import OpenScope, Value, parts_of


class PublishedPlace(Record, frozen=True):
    """A file to be published: the destination, which is a folder or a whole URL, and its name in such a folder."""

    what: str
    destination: str
    name: str


def output_forms(experiment: Experiment, task: TaskFacts) -> tuple[PublishedPlace, ...]:
    """The outputs of each production job, at all destinations, as format strings.

    What is open in them is what `input_values` gives.
    Raises UsageError when a value is missing that a destination needs.
    """
    job_type = experiment.type(task.type)
    scope = _open_scope(experiment, task, {})
    return tuple(
        PublishedPlace(output.kind, scope.print(to), scope.print(output.publish_as or output.name))
        for output in job_type.outputs
        for to in output.to
    )


def source_forms(experiment: Experiment, task: TaskFacts) -> tuple[str, ...]:
    """Return the sources of an input that the task names by its path, as format strings. Raises UsageError."""
    job_type = experiment.type(task.type)
    turn: dict[str, Value | None] = {name: options[0] for name, options in experiment.rotate.items()}
    scope = _open_scope(experiment, task, {**turn, "job": 1, "attempt": 1})
    return () if job_type.input is None else tuple(map(scope.print, job_type.input.sources))


def _open_scope(experiment: Experiment, task: TaskFacts, more: dict[str, Value | None]) -> OpenScope:
    job_type = experiment.type(task.type)
    form = input_form(experiment, job_type) or ""
    left = {name for _, name, _ in parts_of(form) if name is not None} | {"file"}
    left |= own_values(job_type)
    own: dict[str, Value | None] = {"experiment": experiment.name, "task": task.name, "run": None, "chunk": None}
    return OpenScope(left, *shared_layers(experiment, task, job_type), own, more)


def merged_places(
    experiment: Experiment, task: TaskFacts, merge: str, *, run: int | None, number: int
) -> Iterator[PublishedPlace]:
    """A merged file, and its copy for good, at all destinations. Raises UsageError."""
    rule = experiment.merges[merge]
    facts = AttemptFacts(0, 1, rule.type, run=run)
    job = merge_job(experiment, task, (), facts, merge=merge, number=number)
    for output in job.outputs:
        for to in output.destinations:
            yield PublishedPlace(f"merged {merge}", to, output.published_name)
        for text in rule.tape:
            yield PublishedPlace(f"kept {merge}", printed(experiment, task, text, run=run), output.published_name)


def archive_places(experiment: Experiment, task: TaskFacts, *, run: int | None) -> Iterator[PublishedPlace]:
    """The archive of a run's logs, or without a run that of all logs of the task. Raises UsageError."""
    if experiment.logs is None:
        return
    form, texts = (experiment.logs.production, experiment.logs.tape)
    if run is not None:
        form, texts = (experiment.logs.run, experiment.logs.to)
    name = printed(experiment, task, form, run=run)
    for text in texts:
        yield PublishedPlace("log archive", printed(experiment, task, text, run=run), name)
