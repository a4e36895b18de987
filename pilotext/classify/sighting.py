"""What was seen: of one rule, and in all the logs of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from pilotext.classify.clean import Line
from pilotext.model.verdict import Dropped, Evidence
from pilotext.rules.schema import Condition, Rule


class Weight(IntEnum):
    """How a rule was seen; the smaller, the nearer to the reason (design of the election: `elect`)."""

    LIMIT = 0
    FINDING = 1
    SIGNAL = 2
    TEXT = 3
    EXIT = 4
    FILE = 5
    ABSENT = 6
    VALIDATION = 7


STREAM_ORDER = ("stderr", "stdout")
"""Which stream is quoted first: reasons stand on stderr. How lines of the two interleaved, nobody knows."""


def place_in_log(stream: str, offset: int) -> tuple[int, str, int]:
    """Sorts evidence: stderr, stdout, then files by name; within one, from its begin."""
    order = STREAM_ORDER.index(stream) if stream in STREAM_ORDER else len(STREAM_ORDER)
    return (order, stream, offset)


@dataclass(frozen=True)
class Sighting:
    """A rule that was seen, how often, where first, and what its groups held there; `place` sorts within a weight."""

    rule: Rule
    weight: Weight
    count: int
    evidence: tuple[Evidence, ...]
    fields: Mapping[str, str | int | float] = field(default_factory=dict)
    place: tuple[int, str, int] = (0, "", 0)


@dataclass(frozen=True)
class StreamEnd:
    """How much of a stream was read, and its last lines."""

    bytes: int
    tail: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Matches:
    """What the logs of a job hold; empty for a payload that never started.

    `markers` are the `absent` conditions whose text is there after all, `streams` the streams that existed, `unjudged`
    the rules that could not judge every line, `unread` says which streams could not be read to their end. `astray` is
    what stands in stdout and is a text of stderr, or the other way round, while both were written to.
    """

    sightings: tuple[Sighting, ...] = ()
    astray: tuple[Sighting, ...] = ()
    markers: frozenset[tuple[str, Condition]] = frozenset()
    counters: Mapping[str, int | float] = field(default_factory=dict)
    streams: Mapping[str, StreamEnd] = field(default_factory=dict)
    unjudged: tuple[Dropped, ...] = ()
    unread: tuple[str, ...] = ()
