"""Numbers that a program counts in its log."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from pilotext.classify.clean import Block
from pilotext.classify.crowd import Crowd, crowd_of
from pilotext.classify.probe import Probe
from pilotext.rules.schema import Condition, CounterText

LARGEST = 2**63 - 1
"""Larger numbers are no counts of anything, and no JSON reader takes them."""


class Count:
    """One counter in one stream; `value` is None until a line shows one. A line counts once."""

    def __init__(self, text: CounterText) -> None:
        self.text = text
        self.probe = Probe(Condition(match=text.match))
        self.value: int | float | None = 0 if text.take == "count" else None

    @cached_property
    def _crowd(self) -> Crowd | None:
        return crowd_of(self.probe.condition) if self.text.take == "count" else None

    @property
    def settled(self) -> bool:
        """Whether no further line can change the value."""
        return self.text.take == "first" and self.value is not None

    def look(self, line: str) -> bool:
        """Take the number of a line, if it has one, and say whether it had; what is no number is not counted."""
        found = None if self.settled else self.probe.look(line, len(line))
        if found is None:
            return False
        number = 1 if self.text.take == "count" else _number(found.fields.get("n", ""), self.text.type)
        if number is None:
            return False
        if self.text.take in ("sum", "count"):
            number += self.value or 0
        if abs(number) <= LARGEST:
            self.value = number
        return True

    def add_flood(self, block: Block) -> bool:
        """Count the lines of a whole block in one go; False if it is not known to be a flood of them."""
        return self._add(self._crowd.in_block(block) if self._crowd else None)

    def add_crowd(self, block: Block, places: Iterable[int]) -> bool:
        """Count these lines of a block in one go; False if they are to be looked at line by line."""
        return self._add(self._crowd.in_lines(block, places) if self._crowd else None)

    def _add(self, times: int | None) -> bool:
        if times is not None:
            self.value = (self.value or 0) + times
        return times is not None


def together(counts: Iterable[Count]) -> dict[str, int | float]:
    """The values by name, from all streams; `counts` come stream by stream."""
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
    return number if abs(number) <= LARGEST else None  # infinity and NaN are not
