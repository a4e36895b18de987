"""Counting the matches of a flood: thousands of lines that one rule fits, held against its pattern in one go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from time import thread_time

import regex

from pilotext.classify.clean import Block
from pilotext.classify.fastscan import has_long_lines
from pilotext.classify.probe import TIMEOUT_S
from pilotext.classify.within_line import pattern_of
from pilotext.rules.patterns import FLAGS
from pilotext.rules.schema import Condition

DENSE = 50
"""With more candidate lines in a block than this, the later matches of a rule are only counted."""

_REPEATED = re.compile(r"[*+{]")
_REPEATED_GROUP = re.compile(r"\)[*+{]")


class Crowd:
    """A condition about one line, as a pattern that finds every such line of a text once."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._tame = not _REPEATED_GROUP.search(pattern) and len(_REPEATED.findall(pattern)) <= 1
        self._too_slow = False
        self._block_is_quicker: bool | None = None
        self._was_dense = False

    def in_block(self, block: Block) -> int | None:
        """In how many lines of a block the condition is fulfilled; None if that is better asked of chosen lines."""
        if self._too_slow or not (self._was_dense and self._block_is_quicker):
            return None
        return self._count(block, block.cleaned)

    def in_lines(self, block: Block, places: Iterable[int]) -> int | None:
        """In how many of the lines with these places the condition is fulfilled; None if it takes too long to say."""
        if self._too_slow:
            return None
        begin = thread_time()
        times = self._count(block, block.lines_at(places))
        if self._block_is_quicker is None and times is not None and times > DENSE:
            middle = thread_time()
            counted = self._count(block, block.cleaned)
            self._block_is_quicker = counted == times and thread_time() - middle < middle - begin
            self._too_slow = False  # the chosen lines are not
        return times

    def _count(self, block: Block, lines: bytes) -> int | None:
        # Looking at the clock costs more than such a match. With one repetition and short lines there is no need to:
        # what that can take by the line is far below the limit.
        unlimited = self._tame and not has_long_lines(block.cleaned)
        try:  # in a part of the limit, for the lines are looked at one by one when it is over, with the same result
            times = len(self._pattern.findall(lines.decode(), timeout=None if unlimited else TIMEOUT_S / 4))
        except TimeoutError:
            self._too_slow = True
            return None
        self._was_dense = times > DENSE
        return times

    @cached_property
    def _pattern(self) -> regex.Pattern[str]:
        return regex.compile(f"(?:{self._text}).*", FLAGS)


def crowd_of(condition: Condition) -> Crowd | None:
    """None for a condition that might see something else in many lines than in each of them."""
    pattern = pattern_of(condition)
    return None if pattern is None else Crowd(pattern)
