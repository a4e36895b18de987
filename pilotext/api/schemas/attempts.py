"""Attempts of jobs: lease, heartbeat, report, and the rows that show them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.model import Record
from pilotext.model.job import Job
from pilotext.model.report import PhaseRecord

QUEUED_IN_PANDA = "queued in PanDA"
"""Phase of an attempt that waits in PanDA's queue; its heartbeats do not say that it runs."""

OUTPUTS_KEPT = "outputs-kept"
"""The phase of an attempt whose wrapper has ended, and whose outputs wait on the node for their storage.

It holds no slot of its agent. Its progress says `storage_away_since`."""


class Ticket(Record, frozen=True):
    """Ticket from a pilot's job parameters, and the wrapper's own random word that allows it to ask again."""

    ticket: str
    claim: str = ""


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


class AttemptDetail(Record, frozen=True):
    """Course of an attempt by its report: phases, resource usage, address of the log archive."""

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
