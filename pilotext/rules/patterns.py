"""Matching of one condition against one text: `match`, `contains` and `absent`, for rules, examples and logs.

Patterns are read by the `regex` module in its VERSION0, so they mean what they mean to Python's `re`. `^` and `$` stand
at every line of a text that spans several (`lines: N`), `.` does not cross a line end. A group is named `(?<name>…)`.
`contains` and `absent` are literals: nothing in them needs a backslash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import regex

from pilotext.rules.conditions import Condition
from pilotext.rules.line_prefix import without_prefix

FLAGS = regex.VERSION0 | regex.MULTILINE

LINE_END = r"\r\n|\r|\n"
ANSI_ESCAPE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]*(?:\x07|\x1b\\)|[ -/]*[0-~])"
CONTROLS = "".join(map(chr, (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)))
"""Removed from every line, with ANSI escapes: C0 controls but tab and line ends, and DEL."""

_ANCHOR = regex.compile(r"(?<![\[\\])\^")
"""An anchor in a pattern; one without any matches behind a prefix as it is."""

_CLEANED: dict[int, str | None] = {**dict.fromkeys(map(ord, CONTROLS)), ord("\t"): " "}


@dataclass(frozen=True)
class Found:
    """Span in which a condition is fulfilled, and the content of its named groups."""

    fields: dict[str, str]
    start: int
    end: int


@cache
def compile_pattern(text: str) -> regex.Pattern[str]:
    """Compile the pattern of a rule or counter. Raises `regex.error` if it is not a pattern."""
    return regex.compile(text, FLAGS)


def search(condition: Condition, text: str, timeout_s: float | None = None) -> Found | None:
    """Return the first place in a cleaned `text` where a text condition is fulfilled; for `absent`, that of its marker.

    None if there is no such place, or if the condition is not `match`, `contains` or `absent`.
    Raises TimeoutError if a pattern needs longer than `timeout_s`.
    """
    if condition.match is not None:
        return find(condition.match, text, timeout_s)
    literal = condition.contains if condition.contains is not None else condition.absent
    if literal is None or (start := text.find(literal)) < 0:
        return None
    return Found({}, start, start + len(literal))


def search_behind_prefix(condition: Condition, window: str, timeout_s: float | None = None) -> Found | None:
    """Return the first place as `search` does, or else behind a prefix of the lines (`line_prefix`).

    Its span is that in the whole window. Raises TimeoutError if a pattern needs longer than `timeout_s`.
    """
    found = search(condition, window, timeout_s)
    if found is not None or condition.match is None or not _ANCHOR.search(condition.match):
        return found
    for text, cut in without_prefix(window):
        if (found := search(condition, text, timeout_s)) is not None:
            start, end = (at + sum(cut[: text.count("\n", 0, at) + 1]) for at in (found.start, found.end))
            return Found(found.fields, start, end)
    return None


def find(pattern: str, text: str, timeout_s: float | None = None) -> Found | None:
    """Return the first match of `pattern` in `text`. Raises TimeoutError after `timeout_s`."""
    found = compile_pattern(pattern).search(text, timeout=timeout_s)
    if found is None:
        return None
    return Found({name: value for name, value in found.groupdict().items() if value is not None}, *found.span())


def plain(text: str) -> str:
    """Clean a text like a log: no byte order mark, ANSI escapes or controls, blanks for tabs, `\n` for line ends."""
    lines = compile_pattern(LINE_END).sub("\n", text.removeprefix("\ufeff"))
    return compile_pattern(ANSI_ESCAPE).sub("", lines).translate(_CLEANED)


TIMEOUT_S = 1.0
"""Limit for one text: a thousand times the usual time, so that a busy node does not change a verdict."""


class TimedCondition:
    """Text condition with a time limit; after the first timeout it is given up, because lines of a flood are alike."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.given_up = False

    def look(self, window: str, first_line: int) -> Found | None:
        """Return the match in `window`, if it begins in its first line, whose length is `first_line`."""
        if self.given_up:
            return None
        try:
            found = search_behind_prefix(self.condition, window, TIMEOUT_S)
        except TimeoutError:
            self.given_up = True
            return None
        return found if found and found.start <= first_line else None
