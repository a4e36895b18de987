"""Refusals of the API, and failed attempts counted."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.api.schemas.fields import Time
from pilotext.model import Record

ProblemKind = Literal[
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


class Problem(Record, frozen=True):
    """Reason of a refused request: a word for programs, a sentence for people."""

    error: ProblemKind
    message: str


class ErrorQuery(Record, frozen=True):
    """A period, the last week if it is not said; `by` are fields of the answer, separated by commas."""

    by: Annotated[str, msgspec.Meta(max_length=100)] = "code,cause,site"
    since: Time | None = None
    until: Time | None = None
    task: str | None = None
    site: str | None = None
    code: str | None = None


class ErrorRow(Record, frozen=True):
    """Number of attempts that failed alike; columns not asked for are empty. Lost attempts have the cause `lost`."""

    code: str
    cause: str
    site: str
    task: str
    day: str
    attempts: int
    jobs: int
    last: float


class ErrorList(Record, frozen=True):
    """Failed attempts counted, the most frequent first."""

    errors: tuple[ErrorRow, ...]
