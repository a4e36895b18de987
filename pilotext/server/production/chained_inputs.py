"""Inputs of tasks in a chain: the outputs of a task that another one reads, and whether more of them will come."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from pilotext.profile.job_builder import FileFacts
from pilotext.profile.records import Experiment
from pilotext.server.production.models import Job, Output, Product, Task
from pilotext.server.production.states import JobState, ProductState, TaskState

ENDED = (TaskState.DONE, TaskState.ARCHIVING, TaskState.ARCHIVED, TaskState.CANCELLED)
"""A task in these states publishes no further outputs, once its jobs have ended."""

READING = (TaskState.DRAFT, TaskState.READY, TaskState.RUNNING, TaskState.PAUSED)
"""A task in these states needs the files of its parent."""

KEPT = (ProductState.KEPT, ProductState.CLEANED)
"""A product in these states has its merged files where they stay."""


def published_outputs(parent: Task, kind: str, *, merged: bool) -> QuerySet[Output]:
    """Select the published files of a task that another one may read: merged ones when their run is kept."""
    rows = Output.objects.valid().filter(job__task=parent, kind=kind).exclude(url="")
    if not merged:
        return rows.filter(job__product="", job__state=JobState.FINISHED)
    group = "job__group__product"
    return rows.filter(**{f"{group}__state__in": KEPT, "job__group__round": F(f"{group}__round")})


def facts_of(experiment: Experiment, output: Output) -> FileFacts:
    """Return the facts of an output as those of an input."""
    # The entries of everything in a file, as of histograms, are what no reader takes for its events.
    counted = experiment.file_checks.output_kind(output.kind).counts != "everything"
    return FileFacts(output.url, output.size, output.adler32, output.events if counted else None)


def has_ended(parent: Task) -> bool:
    """Whether a task publishes no further outputs unless a person wants it so."""
    return parent.state in ENDED and not parent.jobs.open().exists()


def all_taken(path: str = "") -> Q:
    """Select tasks, at this path, that name their inputs themselves, or to which no further input will come."""
    return Q(**{f"{path}input_kind": ""}) | Q(**{f"{path}inputs_seen": F(f"{path}parent__changed")})


def not_all_taken() -> Q:
    """Select tasks in a chain to which further inputs may come."""
    return ~Q(input_kind="") & (Q(inputs_seen=None) | ~Q(inputs_seen=F("parent__changed")))


def read_by_others() -> Exists:
    """Select products of tasks whose chunk files another task reads that has not ended."""
    readers = Task.objects.chained().filter(parent=OuterRef("task"), input_merged=False, state__in=READING)
    return Exists(readers)


def readers_of(task: Task) -> QuerySet[Task]:
    """Select the tasks that read the chunk files of this one and have not ended."""
    return Task.objects.chained().filter(parent=task, input_merged=False, state__in=READING).order_by("pk")


def why_not_readable(parent: Task, *, merged: bool) -> str:
    """Return why outputs of a task cannot become inputs of another one now, as a sentence; empty when they can."""
    if not merged and parent.state in (TaskState.ARCHIVING, TaskState.ARCHIVED):
        return f"the task {parent.name} is {parent.state}: its files are removed; only its merged files can be read."
    return ""


def to_come(experiment: Experiment, task: Task) -> tuple[int, str]:
    """Return how many jobs or merged products of its parent a task in a chain waits for, and the noun of them."""
    parent = task.parent_id
    if not task.input_merged:
        return Job.objects.open().filter(task=parent, product="").count(), "job"
    merges = merges_of(experiment, task.input_kind)
    return Product.objects.filter(task=parent, merge__in=merges).exclude(state__in=KEPT).count(), "merged product"


def merges_of(experiment: Experiment, kind: str, names: Iterable[str] | None = None) -> list[str]:
    """Return the merges, of these names or all, that collect outputs of a kind."""
    among = experiment.merges if names is None else names
    return [name for name in among if name in experiment.merges and experiment.merges[name].of == kind]
