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
from pilotext.rules.patterns import FLAGS, TIMEOUT_S
from pilotext.rules.schema import Condition

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
        return self._count(block, block.cleaned)

    def in_lines(self, block: Block, places: Iterable[int]) -> int | None:
        """Count the matching lines among those at these places; None if it takes too long."""
        if self._too_slow:
            return None
        begin = thread_time()
        times = self._count(block, block.lines_at(places))
        if self._block_is_quicker is None and times is not None and times > MIN_FLOOD_LINES:
            middle = thread_time()
            counted = self._count(block, block.cleaned)
            self._block_is_quicker = counted == times and thread_time() - middle < middle - begin
            self._too_slow = False  # the chosen lines are not
        return times

    def _count(self, block: Block, lines: bytes) -> int | None:
        # A timeout costs more than such a match. With one repetition and short lines none is needed: the time per
        # line is far below the limit.
        unlimited = self._tame and not has_long_lines(block.cleaned)
        try:  # a part of the limit: when it is over, the lines are tried one by one, with the same result
            times = len(self._pattern.findall(lines.decode(), timeout=None if unlimited else TIMEOUT_S / 4))
        except TimeoutError:
            self._too_slow = True
            return None
        self._was_dense = times > MIN_FLOOD_LINES
        return times

    @cached_property
    def _pattern(self) -> regex.Pattern[str]:
        return regex.compile(f"(?:{self._text}).*", FLAGS)


def flood_counter_of(condition: Condition) -> FloodCounter | None:
    """Return a bulk counter; None for a condition whose matches in many lines may differ from those line by line."""
    pattern = pattern_of(condition)
    return None if pattern is None else FloodCounter(pattern)
