"""The line of a log that comes nearest to a pattern, and the part of the pattern that failed there."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import regex

from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import FLAGS, search_behind_prefix

TIMEOUT_S = 0.2
NEAR = 0.3
"""Share of a pattern, or of its words, that a line must have to be shown."""

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?<?[=!]|\(\?P?<\w+>|\(\?\w*[:>]?|.", re.DOTALL)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[?+]?")
_WORD = re.compile(r"[^\W\d_]{3,}")
_LINE_END = re.compile(r"\\n|\n")


@dataclass(frozen=True)
class NearMiss:
    """Line with the part of the pattern that it fulfils from its start, and the part that follows and fails.

    `found` says that the whole condition is fulfilled; `missing` are the words of the pattern that the line has not.
    `hint` says what to change, where one change is enough: the case of a word, or the number of `lines`.
    """

    line: int
    text: str
    fulfilled: str
    failed: str
    missing: tuple[str, ...] = ()
    found: bool = False
    hint: str = ""

    @property
    def clause(self) -> str:
        """Sentence about the part of the pattern that fits the line and the part that fails."""
        hint = f"{self.hint}: " if self.hint else ""
        if self.fulfilled:
            return f"{hint}it fits up to `{self.fulfilled}`, then `{self.failed}` fails"
        if self.hint:
            return self.hint
        return f"it does not fit from the begin; not there: {', '.join(self.missing) or 'nothing'}"


def near_miss(condition: Condition, lines: Iterable[tuple[int, str]]) -> NearMiss | None:
    """Return the first of these numbered lines that fulfils the condition, or else the nearest one.

    None if no line is near.
    """
    best = _Best(condition)
    hinted: NearMiss | None = None
    spanned = max(condition.lines, len(_LINE_END.findall(condition.match or "")) + 1)
    with contextlib.suppress(TimeoutError):  # of a slow pattern: use the best line before that one
        for number, texts in _windows(lines, spanned):
            window = "\n".join(texts[: condition.lines])
            if _fits(condition, window):
                return NearMiss(number, window, best.pattern, "", found=True)
            if hinted is None and (hint := _hint(condition, window, "\n".join(texts), spanned)):
                hinted = best.hinted(number, window, hint)
            best.look(number, window)
    return hinted or best.nearest()


def _hint(condition: Condition, window: str, whole: str, spanned: int) -> str:
    if spanned > condition.lines and _fits(condition, whole):
        return f"it needs `lines: {spanned}`"
    if condition.match is not None:
        try:
            pattern = regex.compile(condition.match, FLAGS | regex.IGNORECASE)
        except regex.error:  # `(?V1)` and the like, which allow no further flag
            return ""
        found = pattern.search(window, timeout=TIMEOUT_S) is not None
    else:
        found = (condition.contains or condition.absent or "").casefold() in window.casefold()
    return "it differs only in case" if found else ""


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

    def hinted(self, number: int, window: str, hint: str) -> NearMiss:
        fulfilled = self._fulfilled(_reached(self._begins, 0, window))
        return NearMiss(number, window, fulfilled, self.pattern[len(fulfilled) :], hint=hint)

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
    return search_behind_prefix(condition, window, TIMEOUT_S) is not None


def _windows(lines: Iterable[tuple[int, str]], count: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each line's number with its text and the following ones that a pattern may span."""
    ahead: deque[tuple[int, str]] = deque()
    for numbered in lines:
        ahead.append(numbered)
        if len(ahead) == count:
            yield ahead[0][0], [text for _, text in ahead]
            ahead.popleft()
    while ahead:
        yield ahead[0][0], [text for _, text in ahead]
        ahead.popleft()
