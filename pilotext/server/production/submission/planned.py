"""Jobs to be: their input files, one for each job or several of one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pilotext.errors import UsageError
from pilotext.model import Record
from pilotext.profile.job_builder import FileFacts
from pilotext.profile.records import JobType
from pilotext.server.production.submission.document import InputsPerJob, TaskFile


class Planned(Record, frozen=True):
    """One job to be: its input, and what its name says; `further` inputs follow the first one."""

    file: FileFacts
    run: int | None
    chunk: int | None
    further: tuple[FileFacts, ...] = ()

    @property
    def inputs(self) -> tuple[FileFacts, ...]:
        return (self.file, *self.further)


def check_grouping(job_type: JobType, task: TaskFile) -> None:
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
