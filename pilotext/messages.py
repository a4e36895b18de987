"""What the server, its agents and its managers say to each other over `/api/v1`; the OpenAPI document is made of these.

Points in time are seconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pilotext.model import Job, Record, Verdict

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
    """Everything about one job: all attempts, all that was done to it and noted; `verdict` is the last one."""

    job: JobRow
    attempts: tuple[AttemptRow, ...]
    events: tuple[EventRow, ...]
    verdict: Verdict | None = None


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
    """`created` is False when this very task was there already."""

    task: int
    name: str
    created: bool
    jobs: int


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
