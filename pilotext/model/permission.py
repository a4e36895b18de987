"""Permission to publish the outputs of an attempt: asked for just before, since the job may be another's by now."""

from __future__ import annotations

from typing import Literal

from pilotext.model import Record


class PermissionQuestion(Record, frozen=True):
    """Question of a wrapper to the agent that has started it: may the outputs be published? It has a number."""

    may_publish: int


class Permission(Record, frozen=True):
    """Answer of the job's server, or of the agent that has asked it; `unknown`: nobody has said anything."""

    word: Literal["yes", "no", "unknown"]
    why: str = ""
    number: int = 0
    """Number of the question that it answers."""
