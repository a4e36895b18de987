"""Constrained fields and records that several resources share.

Points in time are seconds since 1970, UTC. A page of a list continues behind `next`, given as `after`; None is
the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, get_args

import msgspec

from pilotext.model import Record


def words_of(kind: object) -> tuple[str, ...]:
    """Return the words of a Literal, or of a union of them, each once."""

    def found() -> Iterator[str]:
        for arg in get_args(kind):
            yield from (arg,) if isinstance(arg, str) else words_of(arg)

    return tuple(dict.fromkeys(found()))


def words_pattern(kind: object) -> str:
    """Return the pattern of one or several words of a Literal, separated by commas."""
    word = f"(?:{'|'.join(map(re.escape, words_of(kind)))})"
    return f"^{word}(?:,{word})*$"


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
    why: Why


class Moved(Record, frozen=True):
    """Moved objects; empty when nothing could be moved."""

    moved: tuple[int, ...]


class Note(Record, frozen=True):
    """A note, which the audit trail keeps."""

    why: Why
