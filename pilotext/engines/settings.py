"""The factory file: what a factory starts, where, and how many at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from pilotext.errors import FieldError, FileProblem, RuleFilesError
from pilotext.model import Record
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import Document, read_yaml

FORMAT = 1
"""The version of the format of factory files that this pilotext reads."""

MAX_ARRAY = 1000
"""Elements of one job array; sites usually allow a thousand."""

BatchSystem = Literal["slurm", "htcondor", "pbs", "gridengine", "lsf", "local", "panda"]

FactoryWord = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Name that batch systems accept as a part of the name of a job."""

Positive = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class PandaSettings(Record, frozen=True):
    """JEDI tasks of a label: whose they are, and how their jobs find pilotext."""

    user: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    """Name under which PanDA lists the tasks."""
    vo: Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
    working_group: Annotated[str, msgspec.Meta(max_length=32)] = ""
    source_label: Annotated[str, msgspec.Meta(min_length=1, max_length=20)] = "managed"
    """PanDA's `prodSourceLabel`, for which the pilots of the queue ask."""
    cloud: Annotated[str, msgspec.Meta(max_length=50)] = ""
    priority: Annotated[int, msgspec.Meta(ge=-10_000, le=10_000)] = 900
    transformation: Annotated[str, msgspec.Meta(pattern=r"^https?://.*/pilotext-trf$")] | None = None
    """Address of `pilotext-trf`; absent: that of the server."""
    pilotext: Annotated[str, msgspec.Meta(pattern=r"^/[^\s'\"]+$")] | None = None
    """Folder of pilotext on the nodes; absent: pilots have the variable PILOTEXT_HOME."""


class LabelSettings(Record, frozen=True):
    """Batch jobs of one kind: the site whose jobs they take, the batch system, and how many there may be."""

    site: Annotated[str, msgspec.Meta(min_length=1)]
    system: BatchSystem
    max_jobs: Positive
    """Batch jobs of this label, queued and running."""
    wall_s: Annotated[float, msgspec.Meta(ge=60)]
    """Time limit of a batch job; it is requested from the batch system."""
    max_queued: Positive = 20
    """Batch jobs that may wait in the queue at once."""
    burst: Annotated[int, msgspec.Meta(ge=1, le=MAX_ARRAY)] = 10
    """Batch jobs that one cycle submits at most."""
    slots: Positive = 1
    """Jobs that one agent runs at once; it needs so many cores."""
    options: tuple[str, ...] = ()
    """Words for the submit command, such as a partition; for HTCondor, lines of the submit description."""
    program: tuple[str, ...] = ()
    """The command of pilotext on the nodes; empty: the one that runs the factory."""
    pilot: tuple[str, ...] = ()
    """Command of an unmodified pilot, started instead of our agent."""
    setup: str = ""
    """Script that is sourced before."""
    environment: dict[str, str] = {}
    scratch: str = "${TMPDIR:-/tmp}"
    """Folder on the node for the work of its agents; the shell of the node expands variables in it."""
    warn_s: Annotated[float, msgspec.Meta(ge=0, le=65_535)] = 300.0
    """Time before the end of a slot at which its agent is warned; no job is taken that would run into it."""
    stop_within_s: Seconds = 5.0
    """Time that running jobs have after the warning. Batch systems kill soon after it: Slurm after KillWait, 30 s."""
    idle_s: Seconds = 600.0
    """An agent that had no job for so long ends, and gives its slot back."""
    panda: PandaSettings | None = None
    """JEDI tasks of a label of the system `panda`."""
    max_jobs_of_agent: Positive | None = None
    """Jobs after which an agent ends; without it, as many as the time of its slot allows."""


class FactoryFile(Record, frozen=True):
    """Factory file: a name, the server with its token, and the labels."""

    format: int
    name: FactoryWord
    server: Annotated[str, msgspec.Meta(pattern=r"^https?://")]
    """Address of the server, for the factory and for its agents."""
    token_file: str
    """File with an agent's token, which the nodes can read, too; relative to this file."""
    labels: Annotated[dict[FactoryWord, LabelSettings], msgspec.Meta(min_length=1)]
    folder: str = "factory"
    """Folder for scripts and for the output of batch jobs, which the nodes can write to; relative to this file."""
    cycle_s: Annotated[float, msgspec.Meta(ge=0.1)] = 40.0


def read_factory_file(path: Path) -> FactoryFile:
    """Return the factory file, with absolute paths. Raises RuleFilesError with its problems."""
    document = read_yaml(path)
    if document.problems:
        raise RuleFilesError(document.problems)
    if problem := document.format_problem(FORMAT):
        raise RuleFilesError([problem])
    if problems := list(_wrong_labels(document)):
        raise RuleFilesError(problems)
    try:
        file = from_plain(document.data, FactoryFile)
    except FieldError as error:
        raise RuleFilesError([document.field_problem((), error)]) from None
    if problems := [problem for name in file.labels for problem in _wrong(document, file, name)]:
        raise RuleFilesError(problems)
    beside = path.resolve().parent
    return replace(file, token_file=str(beside / file.token_file), folder=str(beside / file.folder))


def _wrong_labels(document: Document) -> Iterator[FileProblem]:
    """Yield the first problem of each label, with its place."""
    labels = document.data.get("labels")
    for name, label in labels.items() if isinstance(labels, dict) else ():
        try:
            from_plain(label, LabelSettings)
        except FieldError as error:
            yield document.field_problem(("labels", name), error, rule=str(name))


def _wrong(document: Document, file: FactoryFile, name: str) -> list[FileProblem]:
    label, place = file.labels[name], ("labels", name)
    problems = []
    if label.warn_s >= label.wall_s:
        message = f"`warn_s` is {label.warn_s:g}, and the slot ends after {label.wall_s:g} s: no job would be taken."
        problems.append(document.problem((*place, "warn_s"), message, "Make `warn_s` shorter than `wall_s`."))
    if label.pilot and label.slots > 1:
        message = "a pilot runs one job at once."
        problems.append(document.problem((*place, "slots"), message, "Leave `slots` out, or leave out `pilot`."))
    if (label.system == "panda") != (label.panda is not None):
        message = "`panda` is for labels of `system: panda`, and each of them needs it."
        problems.append(document.problem((*place, "system"), message, "Give `panda: {user: …, vo: …}`, or remove it."))
    if label.system == "panda" and (label.pilot or label.slots > 1):
        message = "PanDA starts the pilots, and each job has one slot."
        problems.append(document.problem((*place, "system"), message, "Leave `pilot` and `slots` out."))
    return problems
