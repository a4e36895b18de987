"""Task files: what a manager writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from pilotext.api.schemas.fields import Name
from pilotext.errors import FieldError, RuleFilesError, UsageError
from pilotext.profile.job_builder import FileFacts, Generate, base_name
from pilotext.serialization.json import from_plain as record_from_plain
from pilotext.serialization.yaml import read_yaml
from pilotext.server.production.submission.catalogue import Wanted, read_catalogue, read_lines

MAX_INPUTS = 1000
"""Input files of one job."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that nobody reads is a typing mistake."""


class OutputsOf(_Strict, frozen=True):
    """Published outputs of another task, each of which is the input of a job as soon as it is there."""

    task: str
    """Name of the other task, of the same experiment; it may still run."""
    kind: str | None = None
    """Kind of the outputs; absent: that of the outputs whose names have the form that the job type reads."""
    merged: bool = False
    """True: the merged files of that kind, when their runs are kept. False: the outputs of its jobs."""


class Files(_Strict, frozen=True):
    """Sources of the inputs; at least one of these, and all of them together. `outputs_of` stands alone."""

    these: tuple[str, ...] = ()
    """Paths or URLs of files; `file:raw/a.raw` is relative to the task file."""
    list: str | None = None
    """File with one path or URL a line; its name is relative to the task file."""
    folder: tuple[str, ...] = ()
    """URLs of folders: every file in them whose name has the form that the job type reads."""
    runs: tuple[int, ...] = ()
    """Run numbers: the files of the catalogue with them."""
    outputs_of: OutputsOf | None = None
    """Outputs of another task, those that are there and those that come later."""


class InputsPerJob(_Strict, frozen=True):
    """Input files that one job reads: the next ones of a run in the order of their chunks, until one does not fit."""

    files: Annotated[int, msgspec.Meta(ge=1, le=MAX_INPUTS)] = MAX_INPUTS
    """Number of files that a job has at most."""
    bytes: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Bytes that the files of a job have together at most, by the catalogue; a larger file is a job of its own."""


class TaskFile(_Strict, frozen=True):
    """A task: which files, processed how. `parameters` are those of the experiment's profile."""

    experiment: str
    """Name of the experiment, for example SHINE."""
    name: Name
    """Name of the task; no other task has it."""
    type: str
    """Job type of the experiment's profile."""
    files: Files = Files()
    """Inputs, from any of these sources together; a task needs at least one of them, or `generate`."""
    generate: Generate | None = None
    """Jobs that read no file, of a type that `generates`: how many there are, and how many events each makes."""
    inputs_per_job: InputsPerJob | None = None
    """Several input files for each job; absent: one file for each."""
    events_per_job: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    """Number of events of its input that each job processes, of a type that `splits`; the last range may be smaller."""
    parameters: dict[str, str | int | float] = {}
    """Values of the profile's parameters."""
    environment: dict[str, str] = {}
    """Variables for the payload, beside those of the profile."""
    catalogue: str | None = None
    """A CSV file with a head line of `file`, `events`, `size`, `adler32`, in any order; only `file` has to be there.
    Or a text file whose lines are each a run, a file and its events; or a folder or a pattern (`*`) of such files."""
    sites: tuple[str, ...] = ()
    """Sites that may take its jobs; none: all."""
    priority: Annotated[int, msgspec.Meta(ge=-100_000, le=100_000)] = 0
    """Number added to the priority of the job type."""
    share: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Share of the slots among tasks of equal priority."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    """Attempts that a job has; absent: as the profile says."""
    merges: tuple[str, ...] | None = None
    """The merges of the task, if not all of the job type."""
    staging: bool | None = None
    """False: the inputs are on disk, although the job type's usually are on tape."""
    parent: str | None = None
    """The task whose outputs are the inputs, as by `outputs_of`; with other `files` only a record of their origin."""
    replaces: Name | None = None
    """The task whose names this one takes over: that one has ended, and publishes and removes nothing any more."""
    start: bool = True
    """False: the task waits for somebody to start it."""

    @property
    def names_files(self) -> bool:
        """Whether it names inputs beside the outputs of another task."""
        return bool(self.files.these or self.files.list or self.files.folder or self.files.runs)

    @property
    def chained_to(self) -> OutputsOf | None:
        """Return the outputs of another task that are its inputs; None for a task that names its inputs itself."""
        if self.files.outputs_of is not None:
            return self.files.outputs_of
        if self.parent is None or self.names_files or self.generate is not None:
            return None
        return OutputsOf(self.parent)


class WholeTask(_Strict, frozen=True):
    """A task file with the files that it names read in: this is what travels to the server."""

    task: TaskFile
    catalogue: tuple[FileFacts, ...] = ()
    listed: tuple[str, ...] = ()


def read_task(path: Path) -> WholeTask:
    """Read a task file and what it names; names of files are relative to it. Raises UsageError with what is wrong."""
    document = read_yaml(path)
    if document.problems:
        raise RuleFilesError(document.problems)
    try:
        task = record_from_plain(document.data, TaskFile)
    except FieldError as error:
        raise RuleFilesError([document.field_problem((), error)]) from None
    listed = read_lines(path.parent / task.files.list) if task.files.list else ()
    catalogue = read_catalogue(path.parent, task.catalogue, _wanted(task.files, listed)) if task.catalogue else ()
    check_has_files(task)
    folder = path.parent.absolute()
    files = replace(task.files, these=_resolved(task.files.these, folder), folder=_resolved(task.files.folder, folder))
    return WholeTask(
        replace(task, files=files),
        tuple(replace(entry, file=_resolved([entry.file], folder)[0]) for entry in catalogue),
        _resolved(listed, folder),
    )


def check_has_files(task: TaskFile) -> None:
    """Raise UsageError for a task that names no inputs, or names them in two ways."""
    outputs = task.files.outputs_of
    if outputs is not None and (task.names_files or task.catalogue is not None):
        advice = "Leave the other sources and `catalogue` out: what is known of an output is recorded with it."
        raise UsageError(f"the task {task.name} has `outputs_of` and other inputs.", advice=advice)
    if outputs is not None and task.parent not in (None, outputs.task):
        advice = "Leave `parent` out."
        raise UsageError(f"the task {task.name} has the parent {task.parent}, and reads {outputs.task}.", advice=advice)
    has_files = task.names_files or outputs is not None
    if has_files and task.generate is not None:
        advice = "Leave one of them out: generated jobs read no file."
        raise UsageError(f"the task {task.name} has both `files` and `generate`.", advice=advice)
    if not has_files and task.generate is None and task.parent is None:
        advice = (
            "Give `files` with `these`, `list`, `folder`, `runs` or `outputs_of`,"
            " or `generate` where the jobs read no file."
        )
        raise UsageError(f"the task {task.name} names no files.", advice=advice)


def _wanted(files: Files, listed: Sequence[str]) -> Wanted:
    """Return what a task asks the catalogue for; of a folder, only the server knows the files."""
    names = None if files.folder else frozenset(map(base_name, (*files.these, *listed)))
    return Wanted(frozenset(files.runs), names)


def _resolved(files: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The same files, a relative `file:` one as the URL of its absolute path."""
    return tuple(map(partial(_absolute, folder), files))


def _absolute(folder: Path, file: str) -> str:
    path = file.removeprefix("file:")
    if path == file or not path or path.startswith("/"):
        return file
    return f"file://{os.path.normpath(folder / path)}{'/' if path.endswith('/') else ''}"


def from_plain(data: Any) -> WholeTask:
    """The same from a request."""
    return record_from_plain(data, WholeTask, where="task")
