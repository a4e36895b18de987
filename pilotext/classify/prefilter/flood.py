"""Bulk count of a flood: thousands of lines that match one rule, searched with one call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from time import thread_time

import regex

from pilotext.classify.cleaning import Block
from pilotext.classify.prefilter.hyperscan import has_long_lines
from pilotext.classify.prefilter.line_patterns import pattern_of
from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import FLAGS, TIMEOUT_S

MIN_FLOOD_LINES = 50
"""With more candidate lines in a block than this, later matches of a rule are only counted."""

_REPEATED = re.compile(r"[*+{]")
_REPEATED_GROUP = re.compile(r"\)[*+{]")


class FloodCounter:
    """Single-line condition as a pattern that finds each matching line of a text once."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._tame = not _REPEATED_GROUP.search(pattern) and len(_REPEATED.findall(pattern)) <= 1
        self._too_slow = False
        self._block_is_quicker: bool | None = None
        self._was_dense = False

    def in_block(self, block: Block) -> int | None:
        """Count the matching lines of a block; None if counting chosen lines is faster."""
        if self._too_slow or not (self._was_dense and self._block_is_quicker):
            return None
        return self._counted(block.cleaned)

    def in_lines(self, block: Block, places: Iterable[int]) -> int | None:
        """Count the matching lines among those at these places; None if it takes too long."""
        if self._too_slow:
            return None
        begin = thread_time()
        times = self._counted(block.lines_at(places))
        if self._block_is_quicker is None and times is not None and times > MIN_FLOOD_LINES:
            middle = thread_time()
            counted = self._counted(block.cleaned)
            self._block_is_quicker = counted == times and thread_time() - middle < middle - begin
            self._too_slow = False  # the chosen lines are not
        return times

    def matching(self, block: Block, places: list[int]) -> list[int]:
        """Return the places whose lines may match, of many; a search in all at once excludes those that do not."""
        if self._too_slow or len(places) <= MIN_FLOOD_LINES:
            return places
        times = self._count(block.lines_at(places))
        if times is None or times > len(places) // 2:
            return places
        if not times:
            return []
        middle = len(places) // 2
        return self.matching(block, places[:middle]) + self.matching(block, places[middle:])

    def _counted(self, lines: bytes) -> int | None:
        times = self._count(lines)
        if times is not None:
            self._was_dense = times > MIN_FLOOD_LINES
        return times

    def _count(self, lines: bytes) -> int | None:
        # A timeout costs more than such a match. With one repetition and short lines none is needed: the time per
        # line is far below the limit.
        unlimited = self._tame and not has_long_lines(lines)
        try:  # a part of the limit: when it is over, the lines are tried one by one, with the same result
            return len(self._pattern.findall(lines.decode(), timeout=None if unlimited else TIMEOUT_S / 4))
        except TimeoutError:
            self._too_slow = True
            return None

    @cached_property
    def _pattern(self) -> regex.Pattern[str]:
        return regex.compile(f"(?:{self._text}).*", FLAGS)


def flood_counter_of(condition: Condition) -> FloodCounter | None:
    """Return a bulk counter; None for a condition whose matches in many lines may differ from those line by line."""
    pattern = pattern_of(condition)
    return None if pattern is None else FloodCounter(pattern)
