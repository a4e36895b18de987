"""Tasks: submission, dry run, pages and settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pilotext.api.schemas.fields import Why
from pilotext.api.schemas.waits import Wait
from pilotext.model import Record
from pilotext.model.job import Job

TaskState = Literal["draft", "ready", "running", "paused", "done", "archiving", "archived", "cancelled"]


class TaskFilter(Record, frozen=True):
    state: TaskState | None = None
    name: str | None = None


class TaskRow(Record, frozen=True):
    """A task with the number of its jobs in each state, production jobs and merges apart."""

    task: int
    name: str
    experiment: str
    type: str
    state: str
    jobs: dict[str, int]
    merges: dict[str, int]
    created: float
    changed: float
    note: str = ""
    replaces: str = ""
    """The task whose published names it took over."""
    replaced_by: str = ""
    """The task that took over its names: it publishes and removes nothing any more."""
    to_decide: int = 0
    """Jobs, merges, products of runs and log archives that wait for a person's decision."""


class TaskList(Record, frozen=True):
    tasks: tuple[TaskRow, ...]


class TaskPage(Record, frozen=True):
    """Everything about one task but its jobs: what it was given, and why it is not further."""

    task: TaskRow
    parameters: dict[str, str]
    environment: dict[str, str]
    sites: tuple[str, ...]
    priority: int
    share: float
    max_attempts: int
    staging: bool
    waits: tuple[Wait, ...]
    needs_person: bool = False
    """Nothing of it moves until a person decides, starts or resumes it."""
    inputs_of: str = ""
    """Outputs of another task that are its inputs, in words; empty for a task that names its inputs itself."""


class TaskSettings(Record, frozen=True):
    """Settings of a task to change from now on; None leaves a setting as it is.

    `priority` is added to that of the job's type, also for jobs that are defined already. `replaces` names a task that
    has ended, whose published names this one takes over.
    """

    why: Why
    priority: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)] | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    replaces: str | None = None


class TaskDocument(Record, frozen=True):
    """A task file as `pilotext submit` sends it, with the lists that it names read in.

    With `leave_out`, inputs that are refused are left out; without, they refuse the whole task.
    """

    task: dict[str, Any]
    leave_out: bool = False


class Submitted(Record, frozen=True):
    """`created` is False when this very task was there already. `warnings` are what is perhaps not meant."""

    task: int
    name: str
    created: bool
    jobs: int
    warnings: tuple[str, ...] = ()


class RefusedInput(Record, frozen=True):
    """Input that makes no job, and the reason."""

    file: str
    why: str


class PlannedFile(Record, frozen=True):
    """A file that a task would publish: what it is, and its URL."""

    what: str
    url: str


class TakenName(Record, frozen=True):
    """A name that a task would publish under and that belongs to another one, and to that one's job if it is of one."""

    url: str
    task: str
    job: int | None


class DryRun(Record, frozen=True):
    """Preview of a submission: numbers of jobs and names, and one complete job as a worker would get it.

    `files` are those of the example: outputs, merged files, copies for good, archives of logs, at every destination.
    `problems`, refused inputs and taken names would refuse the task; `warnings` would not. Lists may be cut: the
    counts are whole.
    """

    jobs: int
    runs: int
    merges: tuple[str, ...]
    staging: bool
    names: int
    refused: tuple[RefusedInput, ...]
    refused_count: int
    warnings: tuple[str, ...]
    example: Job | None
    files: tuple[PlannedFile, ...]
    problems: tuple[str, ...] = ()
    taken: tuple[TakenName, ...] = ()
    taken_count: int = 0
    to_come: int = 0
    """Jobs that are not among `jobs`, since their inputs are still to be made by another task."""
    waits_for: str = ""
    """The outputs of another task that are its inputs, in words."""
