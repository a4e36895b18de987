"""Constrained fields and records that several resources share.

Points in time are seconds since 1970, UTC. A page of a list continues behind `next`, given as `after`; None is
the end.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pilotext.model import Record

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]+$")]


Why = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


Text = Annotated[str, msgspec.Meta(max_length=2000)]


Id = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


Places = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


class Move(Record, frozen=True):
    """A decision of a manager, with its reason, which the audit trail keeps."""

    to: str
    why: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Moved(Record, frozen=True):
    """Moved objects; empty when nothing could be moved."""

    moved: tuple[int, ...]


class Note(Record, frozen=True):
    """A note, which the audit trail keeps."""

    why: Why
