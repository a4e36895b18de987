"""Counting the matches of a flood: thousands of lines that one rule fits, held against its pattern in one go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

import regex

from pilotext.classify.clean import Block
from pilotext.classify.fastscan import may_match
from pilotext.classify.literals import SET, needed_by
from pilotext.classify.probe import TIMEOUT_S
from pilotext.rules.patterns import FLAGS
from pilotext.rules.schema import Condition

_PART = re.compile(rf"\\.|{SET}|.", re.DOTALL)
_CROSSES = re.compile(r"(?<!\\)(?:\\\\)*\\[^dwS\W]|[\x00-\x1f]-?|\\\n")
"""What may let a set that is not negated hold a line end."""

_REPEATED = re.compile(r"[*+{]")
_REPEATED_GROUP = re.compile(r"\)[*+{]")
LONG_LINE = rb"[^\n]{1000}"
_GROUP_NAME = re.compile(r"(?<!\\)((?:\\\\)*)\(\?P?<\w+>")
_NARROWED = {r"\s": r"[^\S\n]", r"\D": r"[^\d\n]", r"\W": r"[^\w\n]"}
_AS_THEY_ARE = frozenset((r"\d", r"\w", r"\S", r"\b", r"\B", r"\t"))


class Crowd:
    """A condition about one line, as a pattern that finds every such line of a text once."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._tame = not _REPEATED_GROUP.search(pattern) and len(_REPEATED.findall(pattern)) <= 1
        self._too_slow = False
        self.ascii = _GROUP_NAME.sub(r"\1(", pattern).encode()
        """The pattern for bytes that are all ASCII, without the names of its groups."""

    def matches(self, block: Block, places: Iterable[int]) -> int | None:
        """In how many of the lines with these places the condition is fulfilled; None if it takes too long to say."""
        if self._too_slow:
            return None
        lines = block.lines_at(places).decode()
        # Looking at the clock costs more than such a match. With one repetition and short lines there is no need to:
        # what that can take by the line is far below the limit.
        unlimited = self._tame and not may_match(LONG_LINE, block.cleaned)
        try:  # in a part of the limit, for the lines are looked at one by one when it is over, with the same result
            return len(self._pattern.findall(lines, timeout=None if unlimited else TIMEOUT_S / 4))
        except TimeoutError:
            self._too_slow = True
            return None

    @cached_property
    def _pattern(self) -> regex.Pattern[str]:
        return regex.compile(f"(?:{self._text}).*", FLAGS)


def crowd_of(condition: Condition) -> Crowd | None:
    """None for a condition that might see something else in many lines than in each of them."""
    if condition.lines > 1 or needed_by(condition) is None:  # None needed: it may match nothing, or is not understood
        return None
    if condition.match is None:
        literal = condition.contains or condition.absent or ""
        return None if "\n" in literal else Crowd(regex.escape(literal))
    pattern = within_a_line(condition.match)
    return None if pattern is None else Crowd(pattern)


def within_a_line(pattern: str) -> str | None:
    """A pattern of which `literals` knows a text, so that no part of it crosses a line end; None if not sure."""
    if re.match(r"\(\?[a-z]*s", pattern):
        return None
    parts = [_narrowed(part) for part in _PART.findall(pattern)]
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _narrowed(part: str) -> str | None:
    if part.startswith("[^"):
        return None if part.startswith("[^]") else rf"[^\n{part[2:]}"
    if part.startswith("["):
        return None if _CROSSES.search(part) else part
    if part in _NARROWED:
        return _NARROWED[part]
    if part == "\n" or (part.startswith("\\") and part not in _AS_THEY_ARE and (part[1].isalnum() or part[1] == "\n")):
        return None
    return part
