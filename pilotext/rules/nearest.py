"""The line of a log that comes nearest to a pattern, and the part of the pattern that failed there."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import regex

from pilotext.rules.patterns import plain, search
from pilotext.rules.schema import Condition

TIMEOUT_S = 0.2
LONGEST_LINE = 65_536
NEAR = 0.3
"""How much of a pattern a line must fulfil, or how many of its words it must have, to be worth showing."""

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?<?[=!]|\(\?P?<\w+>|\(\?\w*[:>]?|.", re.DOTALL)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[?+]?")
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Nearest:
    """A line, what of the pattern it fulfils from the pattern's begin, and what comes next and does not.

    `found` says that the whole condition is fulfilled; `missing` are the words of the pattern that the line has not.
    """

    line: int
    text: str
    fulfilled: str
    failed: str
    missing: tuple[str, ...] = ()
    found: bool = False


def nearest_line(condition: Condition, path: Path) -> Nearest | None:
    """The first line that fulfils the condition, or else the nearest one; None if none is near."""
    best = _Best(condition)
    with contextlib.suppress(TimeoutError):  # of a slow pattern; what came before that line has to do
        for number, window in _windows(path, condition.lines):
            if _fits(condition, window):
                return Nearest(number, window, best.pattern, "", found=True)
            best.look(number, window)
    return best.nearest()


class _Best:
    """The nearest line so far: the one that fulfils most of the pattern from its begin, or has most of its words."""

    def __init__(self, condition: Condition) -> None:
        self.pattern = condition.match or condition.contains or condition.absent or ""
        self._begins = _begins(condition, self.pattern)
        self._words = tuple(dict.fromkeys(_WORD.findall(re.sub(r"\\.|\(\?P?<\w+>", " ", self.pattern))))
        self._by_begin = self._by_words = (0, 0, "")
        self._most = 0

    def look(self, number: int, window: str) -> None:
        reached = _reached(self._begins, self._by_begin[0], window)
        if reached > self._by_begin[0]:
            self._by_begin = (reached, number, window)
        if (there := sum(word in window for word in self._words)) > self._most:
            self._most = there
            self._by_words = (_reached(self._begins, 0, window), number, window)

    def nearest(self) -> Nearest | None:
        begin = len(self._fulfilled(self._by_begin[0])) / max(1, len(self.pattern))
        words = self._most / max(1, len(self._words))
        if max(begin, words) < NEAR:
            return None
        # The begin says more than words, which may stand anywhere.
        reached, number, text = self._by_begin if begin >= words * 0.9 else self._by_words
        fulfilled = self._fulfilled(reached)
        missing = tuple(word for word in self._words if word not in text)
        return Nearest(number, text, fulfilled, self.pattern[len(fulfilled) :], missing)

    def _fulfilled(self, reached: int) -> str:
        return self._begins[reached - 1][0] if reached else ""


def _begins(condition: Condition, pattern: str) -> list[tuple[str, Condition]]:
    """The begins of a pattern that are patterns themselves, from the shortest."""
    if condition.match is None:
        return [(pattern[:end], Condition(contains=pattern[:end])) for end in range(1, len(pattern))]
    begins: list[tuple[str, Condition]] = []
    for text, depth in _cuts(pattern):
        whole = text + ")" * depth
        try:
            regex.compile(whole)
        except regex.error:
            continue
        begins.append((text, Condition(match=whole, lines=condition.lines)))
    return begins


def _cuts(pattern: str) -> Iterator[tuple[str, int]]:
    """Each begin of a pattern, piece by piece, with the number of groups that are open there."""
    at, depth = 0, 0
    while found := _TOKEN.match(pattern, at):
        at = found.end()
        depth += found[0].startswith("(") - (found[0] == ")")
        if quantifier := _QUANTIFIER.match(pattern, at):
            at = quantifier.end()
        if not found[0].startswith("(") and found[0] not in ("|", "^") and at < len(pattern):
            yield pattern[:at], max(0, depth)


def _reached(begins: list[tuple[str, Condition]], least: int, window: str) -> int:
    """How many begins, more than `least`, the window fulfils; one that needs what follows it may fail on the way."""
    reached = least
    for number in range(least, len(begins)):
        if _fits(begins[number][1], window):
            reached = number + 1
        elif number >= reached + 2:
            break
    return reached


def _fits(condition: Condition, window: str) -> bool:
    return search(condition, window, TIMEOUT_S) is not None


def _windows(path: Path, count: int) -> Iterator[tuple[int, str]]:
    """Cleaned lines with their numbers, each with those behind it that a pattern may span."""
    ahead: deque[tuple[int, str]] = deque()
    for numbered in lines_of(path):
        ahead.append(numbered)
        if len(ahead) == count:
            yield ahead[0][0], "\n".join(text for _, text in ahead)
            ahead.popleft()
    while ahead:
        yield ahead[0][0], "\n".join(text for _, text in ahead)
        ahead.popleft()


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The cleaned lines of a log with their numbers; one that is very long, in pieces."""
    number = 1
    with path.open("rb") as file:
        while raw := file.readline(LONGEST_LINE):
            whole = raw.endswith(b"\n")
            lines = plain(raw.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")).split("\n")
            yield from enumerate(lines, number)
            number += len(lines) - (not whole)
