"""Inputs of a task that are outputs of another one: those that are there at its submission, and those to come."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from pilotext.errors import UsageError, did_you_mean, known_words
from pilotext.profile.job_builder import EventRange, FileFacts
from pilotext.profile.places import output_forms
from pilotext.profile.records import Experiment, unknown
from pilotext.server.production.chained_inputs import (
    facts_of,
    has_ended,
    published_outputs,
    why_not_readable,
)
from pilotext.server.production.job_builder import range_of, task_facts
from pilotext.server.production.models import Task
from pilotext.server.production.submission.document import OutputsOf, TaskFile, WholeTask, check_has_files
from pilotext.server.production.submission.naming import NameForms, url_of, values_of
from pilotext.server.production.submission.plan import Chain, Lister, Plan, make_plan

MAX_COMPARED = 2000
"""Names of tasks that are compared with one that is not known, the newest first."""


def plan_task(experiment: Experiment, whole: WholeTask, lister: Lister) -> tuple[WholeTask, Plan]:
    """Return the plan of a task, and the task with the parameters that it takes from its parent.

    Raises UsageError for what is wrong with the task, StorageError from `lister`.
    """
    asked = whole.task.chained_to
    if asked is None:
        return whole, make_plan(experiment, whole, lister)
    check_has_files(whole.task)
    parent = _parent(experiment, whole.task, asked)
    if why := why_not_readable(parent, merged=asked.merged):
        raise UsageError(why)
    chain = _chain(experiment, whole.task, asked, parent)
    taken = experiment.type(whole.task.type).inherits
    inherited = {name: parent.parameters[name] for name in taken if name in parent.parameters}
    task = replace(whole.task, parameters={**inherited, **whole.task.parameters})
    whole = replace(whole, task=task)
    return whole, make_plan(experiment, whole, lister, chain)


def _parent(experiment: Experiment, task: TaskFile, asked: OutputsOf) -> Task:
    if asked.task == task.name:
        raise UsageError(f"the task {task.name} names itself as the one whose outputs it reads.")
    tasks = Task.objects.filter(experiment__name=experiment.name)
    parent = tasks.filter(name=asked.task).select_related("experiment").first()
    if parent is not None:
        return parent
    other = Task.objects.filter(name=asked.task).values_list("experiment__name", flat=True).first()
    if other is not None:
        raise UsageError(f"the task {asked.task} is one of {other}: a task reads outputs of its own experiment only.")
    known = list(tasks.order_by("-pk").values_list("name", flat=True)[:MAX_COMPARED])
    raise UsageError(
        f"there is no task {asked.task!r} whose outputs it could read.", advice=did_you_mean(asked.task, known)
    )


def _chain(experiment: Experiment, task: TaskFile, asked: OutputsOf, parent: Task) -> Chain:
    kind = _kind(experiment, task, asked, parent)
    rows = published_outputs(parent, kind, merged=asked.merged).order_by("job__run", "job__chunk", "pk")
    outputs = list(rows)
    facts = {output.url: facts_of(experiment, output) for output in outputs}
    if not asked.merged:
        for url in dict.fromkeys(_coming(experiment, parent, kind)):
            facts.setdefault(url, FileFacts(url))
    return Chain(
        asked=task,
        parent=parent.name,
        kind=kind,
        merged=asked.merged,
        facts=tuple(facts.values()),
        outputs={output.url: output.pk for output in outputs},
        more=not has_ended(parent),
        parent_state=parent.state,
    )


def _kind(experiment: Experiment, task: TaskFile, asked: OutputsOf, parent: Task) -> str:
    """Return the kind of outputs that a task reads: the given one, or that whose names have the form of its inputs."""
    job_type, made = experiment.type(task.type), experiment.type(parent.type)
    forms = {output.kind: output.publish_as or output.name for output in made.outputs}
    if asked.merged:
        merges = made.merges if parent.document.get("merges") is None else tuple(parent.document["merges"])
        of = {name: experiment.merges[name] for name in merges if name in experiment.merges}
        forms = {rule.of: f"{{{rule.name}}}" for rule in of.values()}
    noun = "merged files" if asked.merged else "outputs"
    what = f"the task {parent.name}, of type {parent.type!r}, publishes no {noun}"
    if asked.kind is not None:
        if asked.kind not in forms:
            raise unknown(f"{what} of kind", asked.kind, list(forms))
        return asked.kind
    wanted = None if job_type.input is None else f"{{{job_type.input.form}}}"
    fitting = [kind for kind, form in forms.items() if form == wanted]
    if len(fitting) != 1:
        advice = f"Give `files: {{outputs_of: {{task: {parent.name}, kind: KIND}}}}`. {known_words(forms)}"
        raise UsageError(f"{what} of the one form that the jobs of {task.name} read.", advice=advice)
    return fitting[0]


def _coming(experiment: Experiment, parent: Task, kind: str) -> Iterator[str]:
    """Yield the URLs of outputs that a task is to publish, as far as its inputs are known; each at its first place."""
    facts = task_facts(parent)
    first: dict[str, str] = {}
    for place in output_forms(experiment, facts):
        if place.what == kind:
            first.setdefault(place.name, url_of(place))
    forms = NameForms(tuple(first.values()))
    for file, event_range in _inputs(experiment, parent):
        yield from forms.print(values_of(experiment, facts, file, event_range))


def _inputs(experiment: Experiment, parent: Task) -> Iterator[tuple[str, EventRange | None]]:
    """Yield the inputs of a task whose outputs are still to come, also those that it waits for itself."""
    for job in parent.jobs.open().filter(product="").only("file", "event_range", "events").order_by("pk"):
        yield job.file, range_of(parent, job)
    if parent.input_kind and not parent.input_merged and parent.parent is not None:
        yield from ((file, None) for file in _coming(experiment, parent.parent, parent.input_kind))
