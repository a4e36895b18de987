"""Records of what is known of one job in detail: parts of the pages of `messages`."""

from __future__ import annotations

from pilotext.model import Record
from pilotext.model.report import PhaseRecord


class AttemptDetail(Record, frozen=True):
    """What the report of an attempt says of its course: its phases, what it used, where its log archive is."""

    phases: tuple[PhaseRecord, ...]
    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    log: str


class OutputRow(Record, frozen=True):
    """A file that an attempt published; `kept` is where a merged file is kept for good."""

    kind: str
    name: str
    url: str
    size: int
    adler32: str
    events: int | None
    state: str
    kept: str
    attempt: int


class JobFacts(Record, frozen=True):
    """What a job is given, and its events: those that the catalogue promises, and those that were gone through.

    `memory_mb` is the limit of its next attempt, `parameters` are those of its task.
    """

    task_state: str
    priority: int
    memory_mb: float | None
    size: int | None
    adler32: str
    catalogue_events: int | None
    processed_events: int | None
    skipped_events: int | None
    parameters: dict[str, str]
