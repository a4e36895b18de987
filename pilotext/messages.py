"""What the server, its agents and its managers say to each other over `/api/v1`; the OpenAPI document is made of these.

Points in time are seconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pilotext.details import AttemptDetail, JobFacts, OutputRow
from pilotext.model import Record
from pilotext.model.job import Job
from pilotext.model.verdict import Verdict
from pilotext.waiting import Wait

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]+$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


OUTPUTS_KEPT = "outputs-kept"
"""The phase of an attempt whose wrapper has ended, and whose outputs wait on the node for their storage.

It holds no slot of its agent. Its progress says `storage_away_since`."""


class Problem(Record, frozen=True):
    """Why a request was refused: a word for programs, a sentence for people."""

    error: Literal[
        "not-found",
        "not-allowed",
        "unauthorized",
        "forbidden",
        "conflict",
        "invalid",
        "too-large",
        "too-many",
        "too-slow",
        "busy",
        "unavailable",
        "internal",
    ]
    message: str


# -------------------------------------------------------------------------------------------------------------- agents


class AgentHello(Record, frozen=True):
    """An agent says who it is: `name` is its own for good, `site` the queue whose jobs it runs."""

    name: Name
    site: Name
    host: Annotated[str, msgspec.Meta(max_length=255)] = ""
    slots: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    version: Annotated[str, msgspec.Meta(max_length=50)] = ""
    state: Literal["active", "draining", "gone"] = "active"


class AgentWelcome(Record, frozen=True):
    """The agent's number, and how often it should let its attempts be heard of."""

    agent: int
    heartbeat_s: float


class JobRequest(Record, frozen=True):
    """An agent asks for a job for one of its slots, on this node.

    `key` is a random word. Whoever had no answer asks `again` with the same one, and is given what was meant for it.
    """

    node: Annotated[str, msgspec.Meta(max_length=255)] = ""
    key: Annotated[str, msgspec.Meta(max_length=64)] = ""
    again: bool = False


class LeasedJob(Record, frozen=True):
    """A job given out: it is the asker's until `lease_until`, and every heartbeat moves that to `lease_s` from then.

    Who could not be heard of for so long must have ended the job: it may be given to another.
    """

    attempt: int
    token: str
    job: Job
    lease_until: float
    lease_s: float
    heartbeat_s: float


class JobAnswer(Record, frozen=True):
    """A job, or none and when to ask again; `drain` is why the agent is to ask no more."""

    lease: LeasedJob | None = None
    ask_again_s: float = 0.0
    drain: str = ""


class Heartbeat(Record, frozen=True):
    """An attempt is alive: the phase it is in, and its counters (events) so far."""

    phase: Annotated[str, msgspec.Meta(max_length=20)] = ""
    node: Annotated[str, msgspec.Meta(max_length=255)] = ""
    progress: dict[str, int | float] = {}


class HeartbeatAnswer(Record, frozen=True):
    """Go on, or end the job now, for this reason."""

    command: Literal["go-on", "stop"]
    lease_until: float
    why: str = ""


class ReportAnswer(Record, frozen=True):
    """`accepted`: the report decided what becomes of the job. Otherwise it was kept, and `why` says why no more."""

    accepted: bool
    why: str = ""


# ------------------------------------------------------------------------------------------------------------ managers


class AgentRow(Record, frozen=True):
    """An agent. `silent_since` is set when it should have been heard of and was not, `token_ended` when the token that
    it came with was revoked or has expired: it gets no jobs then, whatever its state."""

    agent: int
    name: str
    site: str
    host: str
    version: str
    state: str
    slots: int
    active: int
    registered: float
    seen: float
    silent_since: float | None = None
    token: str = ""
    token_ended: float | None = None


class AgentList(Record, frozen=True):
    agents: tuple[AgentRow, ...]
    next: int | None


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


class TaskList(Record, frozen=True):
    tasks: tuple[TaskRow, ...]


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


class AttemptRow(Record, frozen=True):
    """One try of a job; `agent` is who had it: the agent's name, or the label of the token that its pilot has."""

    attempt: int
    number: int
    state: str
    site: str
    node: str
    agent: str
    leased: float
    ended: float | None
    verdict: str
    code: str
    cause: str
    action: str
    rule: str
    diag: str
    exit_status: int | None
    charged: bool
    decision: str
    detail: AttemptDetail | None = None
    """None without a report, and for all but the last attempts."""


class EventRow(Record, frozen=True):
    """A line of the audit trail."""

    at: float
    who: str
    subject: str
    subject_id: int
    before: str
    after: str
    why: str


class JobPage(Record, frozen=True):
    """Everything about one job: all attempts, all that was done to it and noted; `verdict` is the last one.

    `waits` are the reasons why it is not further; empty for one that has ended.
    """

    job: JobRow
    attempts: tuple[AttemptRow, ...]
    events: tuple[EventRow, ...]
    verdict: Verdict | None = None
    facts: JobFacts | None = None
    outputs: tuple[OutputRow, ...] = ()
    waits: tuple[Wait, ...] = ()


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


class MergedFile(Record, frozen=True):
    """A merged file: how many bytes and events it holds, where the merge put it, where it is kept once verified."""

    name: str
    url: str
    kept: str
    size: int
    adler32: str
    events: int | None
    inputs: int


class ProductRow(Record, frozen=True):
    """What becomes of one kind of output of one run. `left_out` are the jobs that it was merged without."""

    product: int
    task: str
    run: int
    merge: str
    state: str
    round: int
    left_out: tuple[int, ...]
    events: int | None
    finding: str
    files: tuple[MergedFile, ...]
    changed: float


class ProductList(Record, frozen=True):
    """A page of products; `after` of the next request is `next`, None at the end."""

    products: tuple[ProductRow, ...]
    next: int | None


class Move(Record, frozen=True):
    """A decision of a manager, with its reason, which the audit trail keeps."""

    to: str
    why: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Moved(Record, frozen=True):
    """What was moved; empty when nothing could be."""

    moved: tuple[int, ...]


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
    """An input that is no job, and why."""

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
    """What a submission would do: its jobs counted, all names counted, and one job whole, as a worker would get it.

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


# -------------------------------------------------------------------------------------------------------------- access


class TokenRow(Record, frozen=True):
    """A token that may call the API, but for what is secret of it; `site` is the only one it is good for."""

    token: int
    label: str
    role: str
    site: str
    created: float
    expires: float | None
    revoked: float | None


class TokenList(Record, frozen=True):
    tokens: tuple[TokenRow, ...]


class NewToken(Record, frozen=True):
    """Somebody is to have a token, for so many days; `label` stands in the audit trail for what it does."""

    label: Name
    role: Literal["viewer", "expert", "manager", "agent"]
    site: Name | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 365


class Made(Record, frozen=True):
    """The secret, which cannot be looked up later."""

    token: str


class Revoke(Record, frozen=True):
    why: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Revoked(Record, frozen=True):
    """The tokens that are no good any more; empty when they were that already."""

    revoked: tuple[int, ...]


# -------------------------------------------------------------------------------------------------------------- health

PartStatus = Literal["ok", "warning", "failed"]


class Part(Record, frozen=True):
    """One part of the server: how it is, and why in words."""

    status: PartStatus
    what: str


class Health(Record, frozen=True):
    """How the server is: `status` is that of its worst part."""

    status: PartStatus
    version: str
    parts: dict[str, Part]
