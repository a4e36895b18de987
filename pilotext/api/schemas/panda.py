"""Jobs that a factory hands to a PanDA server: which it takes, and what PanDA says about them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pilotext.api.schemas.fields import Id, Limit, Name, Text
from pilotext.model import Record

FINAL_STATES = ("finished", "failed", "cancelled", "closed")
"""States of PanDA jobs that have ended. `holding` is not one of them: PanDA still registers the outputs."""

QUEUED_STATES = ("pending", "defined", "waiting", "assigned", "throttled", "activated")
"""States of PanDA jobs that no pilot has."""

PandaText = Annotated[str, msgspec.Meta(max_length=500)]


class PandaRequest(Record, frozen=True):
    """Request of a factory for jobs of a site that its label `holder` hands to PanDA."""

    site: Name
    holder: Name
    jobs: Limit


class PandaJob(Record, frozen=True):
    """A job to be handed to PanDA: its attempt, the address where the wrapper gets it, and its limits."""

    attempt: Id
    address: str
    memory_mb: float | None = None
    disk_mb: float | None = None


class PandaJobs(Record, frozen=True):
    jobs: tuple[PandaJob, ...]


class PandaJobState(Record, frozen=True):
    """State of an attempt in PanDA. `task` is its JEDI task, 0 before there is one; `job` its PandaID, if any."""

    attempt: Id
    task: Id
    status: Annotated[str, msgspec.Meta(min_length=1, max_length=30)]
    job: Id | None = None
    pilot_code: int = 0
    pilot_diag: PandaText = ""
    payload_status: int = 0
    error_code: int = 0
    error_diag: PandaText = ""


class PandaStates(Record, frozen=True):
    """States of the jobs that a label has in PanDA; with none, a question for the attempts that it holds."""

    site: Name
    holder: Name
    jobs: Annotated[tuple[PandaJobState, ...], msgspec.Meta(max_length=1000)] = ()


class HeldAttempt(Record, frozen=True):
    """An attempt that a label holds in PanDA; `unwanted` is why it is to be killed there."""

    attempt: int
    task: int
    job: int | None = None
    unwanted: Text = ""


class HeldAttempts(Record, frozen=True):
    attempts: tuple[HeldAttempt, ...]
