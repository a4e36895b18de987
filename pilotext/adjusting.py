"""What managers change while a production runs, and what they see of its users: over `/api/v1`, like `managing`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.managing import Why
from pilotext.messages import Name
from pilotext.model import Record

Places = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


class TaskSettings(Record, frozen=True):
    """What shall be otherwise of a task from now on; None stays as it is.

    `priority` is added to that of the job's type, also for jobs that are defined already.
    """

    why: Why
    priority: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)] | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


class SiteLimit(Record, frozen=True):
    """So many attempts may run at a site at once; None: what the profile says, now and when it changes."""

    site: Name
    why: Why
    max_active: Places | None = None


class Hold(Record, frozen=True):
    """Hold back by hand what a breaker rule of the profile holds, until somebody closes the breaker again."""

    rule: Name
    why: Why
    experiment: Name = "COMPASS"
    site: Name | None = None
    node: Annotated[str, msgspec.Meta(max_length=255)] = ""


class AgentMove(Record, frozen=True):
    """`drain`: it gets no more jobs, and ends when those that it has are done."""

    to: Literal["drain"]
    why: Why


class UserRow(Record, frozen=True):
    """Somebody with an account; the role is empty for one who may nothing any more."""

    user: str
    role: str
    last_login: float | None
    tokens: int


class UserList(Record, frozen=True):
    users: tuple[UserRow, ...]
