"""Matches of rules: of one rule, and of all the logs of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from pilotext.classify.cleaning import Line
from pilotext.model.verdict import Dropped, Evidence
from pilotext.rules.conditions import Condition
from pilotext.rules.schema import Rule


class Precedence(IntEnum):
    """Kind of evidence for a rule; the smaller value wins the election (see `election`)."""

    LIMIT = 0
    FINDING = 1
    SIGNAL = 2
    TEXT = 3
    EXIT = 4
    FILE = 5
    ABSENT = 6
    VALIDATION = 7


STREAM_ORDER = ("stderr", "stdout")
"""Order of the streams in quotes: reasons are on stderr. The interleaving of the two is unknown."""


def place_in_log(stream: str, offset: int) -> tuple[int, str, int]:
    """Return the sort key of evidence: stderr, stdout, then files by name; within a stream by offset."""
    order = STREAM_ORDER.index(stream) if stream in STREAM_ORDER else len(STREAM_ORDER)
    return (order, stream, offset)


@dataclass(frozen=True)
class RuleMatch:
    """Rule that matched: how often, its first evidence with the fields there; `place` sorts at equal precedence.

    `literal` is the length of the shortest text that its condition requires, which decides between rules in one line.
    """

    rule: Rule
    precedence: Precedence
    count: int
    evidence: tuple[Evidence, ...]
    fields: Mapping[str, str | int | float] = field(default_factory=dict)
    place: tuple[int, str, int] = (0, "", 0)
    literal: int = 0


@dataclass(frozen=True)
class StreamEnd:
    """Number of bytes read from a stream, and its last lines."""

    bytes: int
    tail: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Matches:
    """All matches in the logs of a job; empty for a payload that never started.

    `markers` are the `absent` conditions whose text was found, `marker_offsets` where the last of them begins in each
    stream, `streams` the streams that existed, `unjudged` the rules
    that could not be tried on every line, `unread` the streams that could not be read to their end. `astray` are texts
    of stderr that were found in stdout, or the other way round, while both were written to.
    """

    rule_matches: tuple[RuleMatch, ...] = ()
    astray: tuple[RuleMatch, ...] = ()
    markers: frozenset[tuple[str, Condition]] = frozenset()
    marker_offsets: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, int | float] = field(default_factory=dict)
    streams: Mapping[str, StreamEnd] = field(default_factory=dict)
    unjudged: tuple[Dropped, ...] = ()
    unread: tuple[str, ...] = ()
