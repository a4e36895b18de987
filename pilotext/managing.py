"""What managers and experts ask the server for and tell it, beside tasks and jobs: over `/api/v1`, like `messages`.

Points in time are seconds since 1970, UTC. A page of a list goes on behind `next`, given as `after`; None is the end.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.messages import EventRow, JobRow, ProductRow
from pilotext.model import Record
from pilotext.model.verdict import Cause, Evidence
from pilotext.waiting import Wait

Why = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
JobState = Literal[
    "defined", "staging", "ready", "sent", "running", "verifying", "finished", "manual", "failed", "cancelled"
]
TaskState = Literal["draft", "ready", "running", "paused", "done", "archiving", "archived", "cancelled"]
ProductState = Literal["waiting", "merging", "merged", "checked", "copying", "kept", "cleaned", "manual"]
JobCause = Cause | Literal["lost", ""]
"""The cause of a job's last failure; `lost` is an attempt that was heard of no more, empty is none."""


class JobFilter(Record, frozen=True):
    """Which jobs. `product` is empty for production jobs, else the merge; `signature` is that of any attempt."""

    task: str | None = None
    state: JobState | None = None
    run: Number | None = None
    code: str | None = None
    cause: JobCause | None = None
    product: str | None = None
    signature: str | None = None
    assigned: str | None = None


class JobQuery(JobFilter, frozen=True):
    """A page of them, in the order of their ids."""

    after: Id = 0
    limit: Limit = 100


class ManyMoves(Record, frozen=True):
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


class Hindered(Record, frozen=True):
    """A job that was not moved, and why."""

    job: int
    why: str


class ChosenCount(Record, frozen=True):
    """So many jobs of a choice are in this state of this task; `moves` says whether the decision moves them."""

    task: str
    state: JobState
    jobs: int
    moves: bool


class Preview(Record, frozen=True):
    """What a decision on many jobs would do: `jobs` would be moved, `first` are the first of them."""

    jobs: int
    counts: tuple[ChosenCount, ...]
    first: tuple[JobRow, ...]


class ManyMoved(Record, frozen=True):
    """What was moved, what could not be, and how many jobs of the choice are still ahead."""

    moved: tuple[int, ...]
    hindered: tuple[Hindered, ...]
    next: int | None
    left: int
    preview: Preview | None = None


class Noted(Record, frozen=True):
    """A note, which the audit trail keeps."""

    why: Why


class Assign(Record, frozen=True):
    """Who looks into it; empty: nobody."""

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


class RunEvents(Record, frozen=True):
    """Events of a run, over its chunks: those that the catalogue promises, those processed, skipped, and merged.

    None is not known of any chunk; `unknown` counts finished chunks whose payload counted none.
    """

    catalogue: int | None
    processed: int | None
    skipped: int | None
    merged: dict[str, int]
    unknown: int


class RunRow(Record, frozen=True):
    """A run of a task: its production jobs by state, its events, and what became of each product."""

    task: str
    run: int
    jobs: dict[str, int]
    products: dict[str, str]
    findings: dict[str, str] = {}
    events: RunEvents | None = None


class ChunkEvents(Record, frozen=True):
    """The events of a chunk that skipped some, or does not have those that the catalogue promises."""

    job: int
    chunk: int | None
    catalogue: int | None
    processed: int | None
    skipped: int | None


class RunPage(Record, frozen=True):
    """Everything about a run of a task: its products with their files, and why each is not further.

    The key of `waits` is the merge, empty for the chunks of a run of which nothing is merged. `chunks` are those whose
    events are not as the catalogue promises, at most 100.
    """

    run: RunRow
    products: tuple[ProductRow, ...]
    waits: dict[str, tuple[Wait, ...]]
    chunks: tuple[ChunkEvents, ...]


class RunList(Record, frozen=True):
    runs: tuple[RunRow, ...]
    next: int | None


class ErrorRow(Record, frozen=True):
    """How many attempts failed so; a field that was not asked for is empty. Lost attempts have the cause `lost`."""

    code: str
    cause: str
    site: str
    task: str
    day: str
    attempts: int
    jobs: int
    last: float


class ErrorList(Record, frozen=True):
    """Failed attempts counted, the most frequent first."""

    errors: tuple[ErrorRow, ...]


class SignatureRow(Record, frozen=True):
    """A failure that no rule knew, how often it came, and a job to look at; `open` are the attempts it still names."""

    signature: str
    experiment: str
    count: int
    open: int
    first: float
    last: float
    diag: str
    note: str
    job: int | None


class SignatureList(Record, frozen=True):
    """The signatures that came last."""

    signatures: tuple[SignatureRow, ...]


class BreakerRow(Record, frozen=True):
    """Something that gets no jobs until `due`, or a storage server that is not used until then; since when, and why."""

    breaker: int
    rule: str
    scope: str
    state: str
    since: float
    due: float
    trips: int
    why: str


class SiteRow(Record, frozen=True):
    """A queue: what runs there, what ended in the last hour, whether it is closed, and why."""

    site: str
    experiment: str
    max_active: int | None
    active: int
    finished: int
    failed: int
    agents: int
    closed: str
    breakers: tuple[BreakerRow, ...]


class SiteList(Record, frozen=True):
    """All sites, and the breakers that are not about a site."""

    sites: tuple[SiteRow, ...]
    breakers: tuple[BreakerRow, ...]


class EventList(Record, frozen=True):
    """A part of the audit trail, the newest first."""

    events: tuple[EventRow, ...]
    next: int | None


class Rejudge(Record, frozen=True):
    """Apply the rules of today to kept reports of failed attempts of a choice of jobs, some at a time.

    `act` writes the new verdicts down, and decides anew on jobs in manual check whose last attempt has another one; the
    choice then names a task, or `only` the jobs, or `all_tasks` says that every task is meant. Without `act` it is the
    preview of that.
    """

    jobs: JobFilter
    act: bool = False
    why: Text = ""
    after: Id = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 25
    all_tasks: bool = False
    only: Annotated[tuple[Id, ...], msgspec.Meta(max_length=1000)] = ()
    """Numbers of jobs; empty: all of the choice."""


class Rejudged(Record, frozen=True):
    """An attempt whose verdict is another one now, and what became of its job if that was decided on."""

    attempt: int
    job: int
    before: str
    after: str
    rule: str
    diag: str
    decision: str = ""


class ManyRejudged(Record, frozen=True):
    """What is judged otherwise, of so many attempts that were looked at."""

    looked_at: int
    changed: tuple[Rejudged, ...]
    next: int | None
    left: int
