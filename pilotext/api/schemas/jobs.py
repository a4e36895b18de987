"""Jobs: choices of them, their pages, and decisions on them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.api.schemas.attempts import AttemptRow, OutputRow
from pilotext.api.schemas.audit import AuditRow
from pilotext.api.schemas.fields import Id, Limit, Number, Text, Time, Why, words_of, words_pattern
from pilotext.api.schemas.waits import Wait
from pilotext.model import Record
from pilotext.model.verdict import Cause, Evidence, Verdict

JobState = Literal[
    "defined", "staging", "ready", "sent", "running", "verifying", "finished", "manual", "failed", "cancelled"
]


JobCause = Cause | Literal["lost", ""]
"""The cause of a job's last failure; `lost` is an attempt that was heard of no more, empty is none."""


JobStates = Annotated[
    str, msgspec.Meta(pattern=words_pattern(JobState), extra_json_schema={"x-words": words_of(JobState)})
]
JobCauses = Annotated[
    str, msgspec.Meta(pattern=words_pattern(JobCause), extra_json_schema={"x-words": words_of(JobCause)})
]


class JobFilter(Record, frozen=True, omit_defaults=True):
    """Choice of jobs. State, code, cause, product, site, node, agent, rule and job may be several, with commas.

    `product` is empty for production jobs, else the merge; `signature` is that of any attempt; `site`, `node`, `agent`
    and `rule` are those of the last one. `message` is the diagnosis with `#` for each number and U+FFFD for each
    character that does not print; `changed_since` and `changed_until` are about the last change of the job.
    """

    task: str | None = None
    state: JobStates | None = None
    run: Number | None = None
    code: str | None = None
    cause: JobCauses | None = None
    product: str | None = None
    signature: str | None = None
    assigned: str | None = None
    site: str | None = None
    node: str | None = None
    agent: str | None = None
    rule: str | None = None
    message: str | None = None
    job: str | None = None
    changed_since: Time | None = None
    changed_until: Time | None = None


class JobQuery(JobFilter, frozen=True):
    """A page of them in the order of their ids, from the oldest or from the newest on."""

    after: Id = 0
    limit: Limit = 100
    order: Literal["oldest", "newest"] = "oldest"


class JobRow(Record, frozen=True):
    """A job and its last verdict."""

    job: int
    task: str
    type: str
    product: str
    file: str
    run: int | None
    chunk: int | None
    state: str
    attempts: int
    charged: int
    code: str
    cause: str
    diag: str
    not_before: float
    changed: float
    assigned: str = ""


class JobList(Record, frozen=True):
    """A page of jobs; `after` of the next request is `next`, None at the end."""

    jobs: tuple[JobRow, ...]
    next: int | None


class JobFacts(Record, frozen=True):
    """Inputs of a job, and its events: those of the catalogue, and those that were processed.

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
    first_event: int | None = None
    """First of the events of its file that it processes, of which `catalogue_events` are the number; None: all."""


class InputRow(Record, frozen=True):
    """One of several input files of a job, and what the catalogue knows of it."""

    file: str
    size: int | None
    adler32: str
    events: int | None


class JobPage(Record, frozen=True):
    """Everything about one job: all attempts, all that was done to it and noted; `verdict` is the last one.

    `waits` are the reasons why it is not further; empty for one that has ended. `inputs` are those of a job that reads
    several files; of another one, `job.file` is the only input.
    """

    job: JobRow
    attempts: tuple[AttemptRow, ...]
    events: tuple[AuditRow, ...]
    verdict: Verdict | None = None
    facts: JobFacts | None = None
    outputs: tuple[OutputRow, ...] = ()
    waits: tuple[Wait, ...] = ()
    inputs: tuple[InputRow, ...] = ()


class BulkMove(Record, frozen=True):
    """A decision on all jobs of a choice, some at a time: send it again with `after` = `next` until that is None.

    The choice names a task, or `all_tasks` says that every task is meant. With `dry_run` nothing is moved, and the
    answer has the `preview`.
    """

    to: str
    why: Why
    jobs: JobFilter
    after: Id = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 500
    all_tasks: bool = False
    dry_run: bool = False


class NotMoved(Record, frozen=True):
    """A job that was not moved, and why."""

    job: int
    why: str


class ChosenCount(Record, frozen=True):
    """So many jobs of a choice are in this state of this task; `moves` says whether the decision moves them."""

    task: str
    state: JobState
    jobs: int
    moves: bool


class Hindrance(Record, frozen=True):
    """Reason why jobs of a choice cannot be moved, in the words for the `first`; the others differ in numbers."""

    why: str
    jobs: int
    first: int


class MergedAnew(Record, frozen=True):
    """A run whose merged files a decision makes obsolete: these products are merged anew."""

    task: str
    run: int
    products: tuple[str, ...]


class MovePreview(Record, frozen=True):
    """Preview of a decision on many jobs: `jobs` would be moved, `first` are the first of them.

    `hindrances` and `merged_anew` are about the first `looked_at` jobs.
    """

    jobs: int
    counts: tuple[ChosenCount, ...]
    first: tuple[JobRow, ...]
    looked_at: int = 0
    hindrances: tuple[Hindrance, ...] = ()
    merged_anew: tuple[MergedAnew, ...] = ()


class BulkMoved(Record, frozen=True):
    """Moved jobs, jobs that could not be moved, and the number of chosen jobs that remain."""

    moved: tuple[int, ...]
    hindered: tuple[NotMoved, ...]
    next: int | None
    left: int
    preview: MovePreview | None = None


class Assignment(Record, frozen=True):
    """Person in charge; empty: nobody."""

    to: Annotated[str, msgspec.Meta(max_length=200)]
    why: Text = "assigned"


class WorkItem(Record, frozen=True):
    """A job that somebody has to decide on: what its last attempt showed, and what the rule advises."""

    job: int
    task: str
    what: str
    file: str
    run: int | None
    chunk: int | None
    since: float
    assigned: str
    attempts: int
    site: str
    node: str
    code: str
    cause: str
    rule: str
    diag: str
    remedy: str
    evidence: tuple[Evidence, ...]
    decision: str
    notes: int


class WorkList(Record, frozen=True):
    """A page of the jobs in manual check, in the order of their ids."""

    items: tuple[WorkItem, ...]
    next: int | None
