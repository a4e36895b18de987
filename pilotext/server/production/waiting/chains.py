"""Reasons why a task in a chain waits: jobs of the task whose outputs it reads, and inputs that are produced again."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from pilotext.api.schemas.waits import Changer, Wait
from pilotext.formatting import counted_words, noun_for
from pilotext.server.production.chained_inputs import has_ended, readers_of, to_come
from pilotext.server.production.models import Job, Output, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import JobState, OutputState, TaskState
from pilotext.server.production.waiting.places import wait_for

MAX_READERS = 5
"""Tasks that are named."""


def parent_to_wait_for(task: Task) -> Task | None:
    """Return the task whose outputs this one waits for; None where no more will come, or it has no parent."""
    parent = task.parent if task.input_kind else None
    return None if parent is None or task.inputs_seen == parent.changed else parent


def of_parent(task: Task) -> Iterator[Wait]:
    """Yield the wait for outputs of the parent of a task; nothing for one that has all its inputs."""
    parent = parent_to_wait_for(task)
    if parent is None:
        return
    if has_ended(parent):
        what = f"the outputs of task {parent.name}, which is {parent.state}, are taken up"
        yield wait_for("inputs", what, parent.changed, None, "server", "the next step of the cycle does it")
        return
    number, noun = to_come(profile_of(task.experiment.name), task)
    who: Changer = "server"
    name, how = quote(parent.name), f"pilotext tasks show {quote(parent.name)} says why it is not further"
    if parent.state in (TaskState.READY, TaskState.PAUSED):
        who = "manager"
        how = f"pilotext tasks {'start' if parent.state == TaskState.READY else 'resume'} {name} --why ..."
    which = "" if parent.state == TaskState.RUNNING else f", which is {parent.state}"
    waits = f"{counted_words(number, noun)} of task {parent.name}" if number else f"task {parent.name}"
    yield wait_for("inputs", f"it waits for {waits}{which}", None, None, who, how)


def of_replaced_inputs(task: Task) -> Iterator[Wait]:
    """Yield the wait of jobs whose input is produced again."""
    rows = Job.objects.filter(task=task, state=JobState.DEFINED, source__isnull=False)
    if number := rows.exclude(source__state=OutputState.VALID).count():
        which = "an input that is" if number == 1 else "inputs that are"
        what = f"{counted_words(number, 'job', 'waits')} for {which} produced again"
        how = "the jobs of its parent that make them: pilotext jobs show N names each"
        yield wait_for("inputs", what, None, None, "server", how)


def of_source(source: Output) -> Wait:
    """Return the wait of a job whose input is produced again."""
    task = source.job.task
    what = f"its input {source.name} is produced again by job {source.job_id} of task {task.name}"
    how = f"pilotext jobs show {source.job_id} says how far that is"
    return wait_for("inputs", what, source.job.changed, None, "server", how)


def of_readers(task: Task) -> Iterator[Wait]:
    """Yield the wait of an archived task whose chunk files are still read."""
    names = list(readers_of(task).values_list("name", flat=True))
    if names:
        more = ", ..." if len(names) > MAX_READERS else ""
        what = f"its chunk files stay as long as they are read by {noun_for(len(names), 'task')} "
        how = f"pilotext tasks show {quote(names[0])} says when that ends"
        yield wait_for("inputs", f"{what}{', '.join(names[:MAX_READERS])}{more}", task.changed, None, "server", how)
