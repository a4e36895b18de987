"""Agents: registration, requests for jobs, and the rows that show them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.api.schemas.attempts import LeasedJob
from pilotext.api.schemas.fields import Id, Limit, Name, Why
from pilotext.model import Record


class AgentRegistration(Record, frozen=True):
    """An agent says who it is: `name` is its own for good, `site` the queue whose jobs it runs.

    `experiments` are those whose profiles its node has; agents before 0.2 do not say it.
    """

    name: Name
    site: Name
    host: Annotated[str, msgspec.Meta(max_length=255)] = ""
    slots: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    version: Annotated[str, msgspec.Meta(max_length=50)] = ""
    state: Literal["active", "draining", "gone"] = "active"
    experiments: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)] = ()


class AgentRegistered(Record, frozen=True, omit_defaults=True):
    """The agent's number, how often it should let its attempts be heard of, and the experiment of its site.

    An agent that has no profile of this experiment takes no jobs. The experiment is left out for an agent that did not
    say its own ones: such a version knows no such field.
    """

    agent: int
    heartbeat_s: float
    experiment: str = ""


class AgentKey(Record, frozen=True):
    """The key with which agents of this site seal the files that they keep on their nodes, whatever token they have."""

    key: str


class JobRequest(Record, frozen=True, omit_defaults=True):
    """An agent asks for a job for one of its slots, on this node.

    `key` is a random word. Whoever had no answer asks `again` with the same one, and is given what was meant for it.
    `left_s` is the rest of the agent's time: it gets no job with a longer limit. Servers before 0.2 do not know it.
    """

    node: Annotated[str, msgspec.Meta(max_length=255)] = ""
    key: Annotated[str, msgspec.Meta(max_length=64)] = ""
    again: bool = False
    left_s: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None = None


class JobAnswer(Record, frozen=True):
    """A job, or none and when to ask again; `drain` is why the agent is to ask no more."""

    lease: LeasedJob | None = None
    ask_again_s: float = 0.0
    drain: str = ""


class AgentQuery(Record, frozen=True):
    name: str | None = None
    site: str | None = None
    state: Literal["active", "draining", "gone"] | None = None
    after: Id = 0
    limit: Limit = 100


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


class AgentMove(Record, frozen=True):
    """`drain`: it gets no more jobs, and ends when those that it has are done."""

    to: Literal["drain"]
    why: Why
