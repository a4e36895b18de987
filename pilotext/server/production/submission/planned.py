"""Jobs to be: their input files, one for each job or several of one run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pilotext.errors import UsageError
from pilotext.model import Record
from pilotext.profile.job_builder import EventRange, FileFacts
from pilotext.profile.records import JobType
from pilotext.server.production.submission.document import InputsPerJob, TaskFile

_ADLER32 = re.compile(r"[0-9a-fA-F]{8}")


class Planned(Record, frozen=True):
    """One job to be: its input, and what its name says; `further` inputs follow the first one."""

    file: FileFacts
    run: int | None
    chunk: int | None
    further: tuple[FileFacts, ...] = ()
    event_range: EventRange | None = None
    """The events of the file that it processes, which `file` counts then; None: all."""

    @property
    def range_number(self) -> int:
        return 0 if self.event_range is None else self.event_range.number

    @property
    def inputs(self) -> tuple[FileFacts, ...]:
        return (self.file, *self.further)


MAX_RANGES = 10_000
"""Ranges of the events of one file."""


MAX_JOBS = 1_000_000
"""Jobs of a task whose files are split, as of one that generates events."""

MAX_EVENTS = 2**31 - 1
MAX_SIZE = 2**63 - 1
"""Events and bytes of the files of one job that the database has room for."""


def check_number_of_ranges(files: Iterable[Planned], events_per_job: int) -> None:
    """Raise UsageError when the ranges of these files would be too many jobs for a task."""
    number = sum(-(-(file.file.events or 0) // events_per_job) for file in files)
    if number > MAX_JOBS:
        raise UsageError(
            f"the task would have {number} jobs, and may have {MAX_JOBS}: `events_per_job` is too small.",
            advice="Give it a larger `events_per_job`, or make several tasks of its files.",
        )


def why_too_large(files: Iterable[FileFacts]) -> str:
    """Return why one job cannot have these files, as a sentence; empty when it can."""
    known = list(files)
    events, size = (sum(each.events or 0 for each in known), sum(each.size or 0 for each in known))
    if events > MAX_EVENTS:
        return f"its job would have {events} events by the catalogue, and may have {MAX_EVENTS}."
    if size > MAX_SIZE:
        return f"its job would have {size} bytes by the catalogue, and may have {MAX_SIZE}."
    return ""


def usable(entry: FileFacts) -> FileFacts:
    """Return the facts of a catalogue about a file, checked. Raises UsageError."""
    if entry.events is not None and entry.events <= 0:
        raise UsageError(f"the catalogue says that it has {entry.events} events.")
    if entry.size is not None and entry.size <= 0:
        raise UsageError(f"the catalogue says that it has {entry.size} bytes.")
    if why := why_too_large([entry]):
        raise UsageError(why)
    if not entry.adler32:
        return entry
    if not _ADLER32.fullmatch(entry.adler32):
        raise UsageError(
            f"the catalogue says {entry.adler32!r}, which is not an adler32 checksum: that has 8 hexadecimal digits."
        )
    return msgspec.structs.replace(entry, adler32=entry.adler32.lower())


def ranges_of(file: Planned, events_per_job: int) -> Iterator[Planned]:
    """Yield the jobs that process the ranges of a file, in the order of its events. Raises UsageError."""
    events = file.file.events
    if events is None:
        raise UsageError("the catalogue does not know its events, of which `events_per_job` makes ranges.")
    if events > MAX_RANGES * events_per_job:
        raise UsageError(f"its {events} events would be more than {MAX_RANGES} ranges: `events_per_job` is too small.")
    for number, before in enumerate(range(0, events, events_per_job), 1):
        own = EventRange(number, before, min(events_per_job, events - before), events)
        facts = msgspec.structs.replace(file.file, events=own.events)
        yield msgspec.structs.replace(file, file=facts, event_range=own)


def check_inputs(job_type: JobType, task: TaskFile) -> None:
    """Raise UsageError for inputs, or numbers of files or events for each job, that the job type cannot have."""
    if job_type.generates and task.generate is None:
        advice = "Say how many jobs there are: `generate: {jobs: 100, events: 1000}`."
        raise UsageError(f"{task.type!r} generates events, and reads no files.", advice=advice)
    if task.generate is not None and not job_type.generates:
        advice = (
            "Give its inputs in `files`." if job_type.input else "Merges follow the tasks whose outputs they merge."
        )
        raise UsageError(f"{task.type!r} does not generate events.", advice=advice)
    if job_type.input is None and not job_type.generates:
        raise UsageError(f"{task.type!r} reads no files; nothing can be submitted for it.")
    _check_splitting(job_type, task)
    _check_grouping(job_type, task)


def _check_splitting(job_type: JobType, task: TaskFile) -> None:
    """Raise UsageError for ranges of events where the job type or the task cannot have them, or must have them."""
    if job_type.splits and task.events_per_job is None:
        advice = "Say how many events a job processes: `events_per_job: 10000`."
        raise UsageError(f"jobs of type {task.type!r} process ranges of the events of a file.", advice=advice)
    if task.events_per_job is None:
        return
    if not job_type.splits:
        advice = "Leave `events_per_job` out, or take a type that `splits`."
        raise UsageError(f"jobs of type {task.type!r} process whole files.", advice=advice)
    if task.inputs_per_job is not None:
        raise UsageError(
            f"the task {task.name} has `events_per_job` and `inputs_per_job`.", advice="Leave one of them out."
        )
    if task.chained_to is not None:
        advice = "Name files that are there, with a `catalogue`."
        raise UsageError("the events of outputs that are still to come cannot be split into ranges.", advice=advice)


def _check_grouping(job_type: JobType, task: TaskFile) -> None:
    """Raise UsageError for several inputs of a job where its command or its task cannot have them."""
    if task.inputs_per_job is None:
        return
    if task.generate is not None:
        raise UsageError(
            f"{task.type!r} generates events: its jobs have no inputs.", advice="Leave `inputs_per_job` out."
        )
    if task.chained_to is not None:
        advice = "Leave `inputs_per_job` out, or name files that are there."
        raise UsageError("a job in a chain reads one output of the other task, as soon as it is there.", advice=advice)
    if "{inputs}" not in job_type.command:
        advice = "Put the word '{inputs}' into its `command` in the profile; it stands for the names of all inputs."
        raise UsageError(f"the command of {task.type!r} does not name all inputs of a job.", advice=advice)


def grouped(files: Iterable[Planned], limit: InputsPerJob) -> Iterator[Planned]:
    """Yield jobs of several files: the next ones of a run in the order of their chunks, as many as the limit allows."""
    group: list[Planned] = []
    size = 0
    for each in sorted(files, key=lambda each: (_or_before(each.run), _or_before(each.chunk), each.file.file)):
        more = each.file.size or 0
        full = len(group) == limit.files or (limit.bytes is not None and size + more > limit.bytes)
        if group and (full or group[0].run != each.run):
            yield _joined(group)
            group, size = [], 0
        group.append(each)
        size += more
    if group:
        yield _joined(group)


def _joined(group: Sequence[Planned]) -> Planned:
    return msgspec.structs.replace(group[0], further=tuple(each.file for each in group[1:]))


def _or_before(number: int | None) -> int:
    return -1 if number is None else number
