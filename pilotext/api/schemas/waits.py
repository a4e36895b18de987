"""Reasons why a job, a run or a task waits.

Points in time are seconds since 1970, UTC."""

from __future__ import annotations

from typing import Literal

from pilotext.model import Record

WaitKind = Literal[
    "task-not-started",
    "task-paused",
    "task-resuming",
    "task-over",
    "staging",
    "staging-room",
    "verifying",
    "storage-away",
    "back-off",
    "earlier-attempt",
    "site-closed",
    "site-full",
    "breaker",
    "no-agent",
    "agents-busy",
    "avoided",
    "others-first",
    "attempt",
    "silent",
    "stopping",
    "person",
    "chunks",
    "inputs",
    "other-merge",
    "merge-jobs",
    "copying",
    "archive",
    "cleaning",
    "cycle",
]
"""The closed list of reasons; `cycle` is the next step of the server, which comes by itself within seconds."""


NOT_BEFORE: frozenset[WaitKind] = frozenset({"back-off", "breaker", "storage-away", "copying", "archive", "cleaning"})
"""Reasons whose `until` is when something is tried again at the earliest; of the others, their end at the latest."""


Changer = Literal["server", "expert", "manager", "operator"]
"""Role that can change it: the server itself, a person of this role, or the person who runs agents at a site."""


class Wait(Record, frozen=True):
    """One reason why something waits: since when, until when if that is known (NOT_BEFORE), who can change it, how."""

    kind: WaitKind
    what: str
    since: float | None
    until: float | None
    who: Changer
    how: str
