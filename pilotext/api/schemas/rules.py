"""Failures that no rule knows, and reclassification of kept reports."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pilotext.api.schemas.fields import Id, Limit, Text
from pilotext.api.schemas.jobs import JobFilter
from pilotext.model import Record


class SignatureQuery(Record, frozen=True):
    experiment: str | None = None
    limit: Limit = 100


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


class Reclassify(Record, frozen=True):
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


class Reclassified(Record, frozen=True):
    """An attempt whose verdict is another one now, and what became of its job if that was decided on."""

    attempt: int
    job: int
    before: str
    after: str
    rule: str
    diag: str
    decision: str = ""


class BulkReclassified(Record, frozen=True):
    """Changed verdicts, and the number of attempts that were checked."""

    looked_at: int
    changed: tuple[Reclassified, ...]
    next: int | None
    left: int
