"""Counters: numbers that a program prints in its log."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from pilotext.classify.cleaning import Block
from pilotext.classify.prefilter.flood import FloodCounter, flood_counter_of
from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import TimedCondition
from pilotext.rules.schema import CounterText

MAX_COUNT = 2**63 - 1
"""Larger numbers are not counts, and JSON readers do not accept them."""


class StreamCounter:
    """One counter in one stream; `value` is None until a line has one. A line counts once."""

    def __init__(self, text: CounterText) -> None:
        self.text = text
        self.probe = TimedCondition(Condition(match=text.match))
        self.value: int | float | None = 0 if text.take == "count" else None
        self.matches = 0

    @cached_property
    def _flood(self) -> FloodCounter | None:
        return flood_counter_of(self.probe.condition) if self.text.take == "count" else None

    @property
    def settled(self) -> bool:
        """Whether no further line can change the value."""
        return self.text.take == "first" and self.value is not None

    def look(self, line: str) -> bool:
        """Take the number of a line, if it has one, and return whether it had; other text is not counted."""
        found = None if self.settled else self.probe.look(line, len(line))
        if found is None:
            return False
        number = 1 if self.text.take == "count" else _number(found.fields.get("n", ""), self.text.type)
        if number is None:
            return False
        if self.text.take in ("sum", "count"):
            number += self.value or 0
        self.matches += 1
        if abs(number) <= MAX_COUNT:
            self.value = number
        return True

    def add_flood_block(self, block: Block) -> bool:
        """Count the lines of a whole block at once; False unless it is known to be a flood of them."""
        return self._add(self._flood.in_block(block) if self._flood else None)

    def add_flood_lines(self, block: Block, places: Iterable[int]) -> bool:
        """Count these lines of a block at once; False if they must be tried one by one."""
        return self._add(self._flood.in_lines(block, places) if self._flood else None)

    def _add(self, times: int | None) -> bool:
        if times is not None:
            self.value = (self.value or 0) + times
            self.matches += times
        return times is not None


def merge_counts(counts: Iterable[StreamCounter]) -> dict[str, int | float]:
    """Merge the values from all streams by name; `counts` are ordered by stream."""
    values: dict[str, int | float] = {}
    for count in counts:
        if count.value is None:
            continue
        name = count.text.name
        if count.text.take in ("sum", "count"):
            values[name] = values.get(name, 0) + count.value
        elif count.text.take == "last" or name not in values:
            values[name] = count.value
    return values


def _number(text: str, kind: str) -> int | float | None:
    try:
        number = int(text) if kind == "int" else float(text)
    except ValueError:
        return None
    return number if abs(number) <= MAX_COUNT else None  # excludes infinity and NaN
