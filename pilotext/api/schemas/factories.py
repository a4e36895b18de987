"""Factories: what they ask before they submit batch jobs, what they report, and the rows that show them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.api.schemas.fields import Name, Number, Text, Time
from pilotext.model import Record

MAX_AGENTS = 20_000

Starts = Literal["agent", "pilot"]

BatchEnd = Literal["finished", "failed", "time-limit", "cancelled", "preempted", "node-failed", "memory"]
"""Ways in which batch jobs end, as a batch system tells them."""


class SiteWorkQuery(Record, frozen=True):
    site: Name
    factory: Name
    label: Name


class SiteWork(Record, frozen=True):
    """Jobs that could be given out at a site now, and why none are.

    `waiting` ends at a bound of the server, and at the attempts that the site may have beside those that it has.
    `queued_elsewhere` counts the jobs that queued batch jobs of other labels for this site will take, as far as their
    factories were heard of lately.
    """

    site: str
    waiting: int
    queued_elsewhere: int = 0
    hold: str = ""


class EndedBatchJob(Record, frozen=True):
    """A batch job that has ended; `name` is that of its agent, or what its pilot was told."""

    name: Name
    end: BatchEnd


class LabelReport(Record, frozen=True):
    """Batch jobs of one label; numbers of submissions count since the start of the factory.

    `queued` and `running` are None while the batch system does not answer.
    """

    label: Name
    site: Name
    system: Annotated[str, msgspec.Meta(max_length=20)]
    starts: Starts
    slots: Number = 1
    requested: Number = 0
    submitted: Number = 0
    failed: Number = 0
    """Cycles whose submission failed."""
    queued: Number | None = None
    running: Number | None = None
    message: Text = ""
    message_at: Time = 0.0
    agents: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_AGENTS)] | None = None
    """Names of the batch jobs that run, as their agents and pilots have them; None where not known, or too many."""
    ended: Annotated[tuple[EndedBatchJob, ...], msgspec.Meta(max_length=MAX_AGENTS)] = ()
    """Batch jobs that have ended since the report before."""


class FactoryReport(Record, frozen=True):
    """A factory says who it is, and what became of its labels."""

    name: Name
    started: Time
    labels: Annotated[tuple[LabelReport, ...], msgspec.Meta(max_length=1000)]
    host: Annotated[str, msgspec.Meta(max_length=255)] = ""
    version: Annotated[str, msgspec.Meta(max_length=50)] = ""


class FactorySeen(Record, frozen=True):
    """The number of the factory."""

    factory: int


class FactoryLabelRow(Record, frozen=True):
    """A label of a factory. `with_job` and `without_job` count its agents that ended within the last day.

    A label that the factory has no more is left out.
    """

    label: str
    site: str
    system: str
    starts: str
    requested: int
    submitted: int
    failed: int
    queued: int | None
    running: int | None
    with_job: int
    without_job: int
    message: str
    message_at: float


class FactoryRow(Record, frozen=True):
    """A factory; `silent` when it was not heard of lately."""

    factory: int
    name: str
    host: str
    version: str
    started: float
    seen: float
    silent: bool
    labels: tuple[FactoryLabelRow, ...]


class FactoryList(Record, frozen=True):
    factories: tuple[FactoryRow, ...]
