"""The line of a log that comes nearest to a pattern, and the part of the pattern that failed there."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import regex

from pilotext.classify.cleaning import Block, Splitter
from pilotext.rules.patterns import search
from pilotext.rules.schema import Condition

TIMEOUT_S = 0.2
CHUNK_BYTES = 1 << 20
NEAR = 0.3
"""Share of a pattern, or of its words, that a line must have to be shown."""

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?<?[=!]|\(\?P?<\w+>|\(\?\w*[:>]?|.", re.DOTALL)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[?+]?")
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class NearMiss:
    """Line with the part of the pattern that it fulfils from its start, and the part that follows and fails.

    `found` says that the whole condition is fulfilled; `missing` are the words of the pattern that the line has not.
    """

    line: int
    text: str
    fulfilled: str
    failed: str
    missing: tuple[str, ...] = ()
    found: bool = False


def near_miss(condition: Condition, path: Path) -> NearMiss | None:
    """Return the first line that fulfils the condition, or else the nearest one; None if none is near."""
    best = _Best(condition)
    with contextlib.suppress(TimeoutError):  # of a slow pattern: use the best line before that one
        for number, window in _windows(path, condition.lines):
            if _fits(condition, window):
                return NearMiss(number, window, best.pattern, "", found=True)
            best.look(number, window)
    return best.nearest()


class _Best:
    """Nearest line so far: it fulfils most of the pattern from its start, or has most of its words."""

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

    def nearest(self) -> NearMiss | None:
        begin = len(self._fulfilled(self._by_begin[0])) / max(1, len(self.pattern))
        words = self._most / max(1, len(self._words))
        if max(begin, words) < NEAR:
            return None
        # A prefix is stronger evidence than words, which may be anywhere.
        reached, number, text = self._by_begin if begin >= words * 0.9 else self._by_words
        fulfilled = self._fulfilled(reached)
        missing = tuple(word for word in self._words if word not in text)
        return NearMiss(number, text, fulfilled, self.pattern[len(fulfilled) :], missing)

    def _fulfilled(self, reached: int) -> str:
        return self._begins[reached - 1][0] if reached else ""


def _begins(condition: Condition, pattern: str) -> list[tuple[str, Condition]]:
    """Return the prefixes of a pattern that are patterns themselves, shortest first."""
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
    """Yield each prefix of a pattern, token by token, with the number of groups open there."""
    at, depth = 0, 0
    while found := _TOKEN.match(pattern, at):
        at = found.end()
        depth += found[0].startswith("(") - (found[0] == ")")
        if quantifier := _QUANTIFIER.match(pattern, at):
            at = quantifier.end()
        if not found[0].startswith("(") and found[0] not in ("|", "^") and at < len(pattern):
            yield pattern[:at], max(0, depth)


def _reached(begins: list[tuple[str, Condition]], least: int, window: str) -> int:
    """Count the prefixes that the window fulfils, from `least` on; a single one may fail in between."""
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
    """Yield cleaned lines with their numbers, each with the following ones that a pattern may span."""
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
    """Yield the lines of a log with their numbers, cleaned as the classifier does it."""
    splitter = Splitter()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield from _numbered(splitter.feed(chunk))
    yield from _numbered(splitter.close())


def _numbered(blocks: Iterable[Block]) -> Iterator[tuple[int, str]]:
    for block in blocks:
        text = block.cleaned.decode()
        yield from enumerate(text.removesuffix("\n").split("\n"), block.number)
