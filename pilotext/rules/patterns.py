"""Whether a text fulfils a condition: the one judge of `match`, `contains` and `absent`, for rules, examples and logs.

Patterns are read by the `regex` module in its VERSION0, so they mean what they mean to Python's `re`. `^` and `$` stand
at every line of a text that spans several (`lines: N`), `.` does not cross a line end. A group is named `(?<name>…)`.
`contains` and `absent` are literals: nothing in them needs a backslash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import regex

from pilotext.rules.schema import Condition

FLAGS = regex.VERSION0 | regex.MULTILINE

_LINE_END = r"\r\n?"
_UNPRINTED = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]*[0-~])|[\x00-\x08\x0b-\x1f\x7f]"


@dataclass(frozen=True)
class Found:
    """Where a condition is fulfilled in a text, and what its named groups hold there."""

    fields: dict[str, str]
    start: int
    end: int


@cache
def compile_pattern(text: str) -> regex.Pattern[str]:
    """The compiled pattern of a rule or counter. Raises `regex.error` if it is not one."""
    return regex.compile(text, FLAGS)


def search(condition: Condition, text: str, timeout_s: float | None = None) -> Found | None:
    """The first place in a cleaned `text` where a text condition is fulfilled; for `absent`, where its marker stands.

    None if there is no such place, or if the condition is none of `match`, `contains`, `absent`.
    Raises TimeoutError if a pattern needs longer than `timeout_s`.
    """
    if condition.match is not None:
        return find(condition.match, text, timeout_s)
    literal = condition.contains if condition.contains is not None else condition.absent
    if literal is None or (start := text.find(literal)) < 0:
        return None
    return Found({}, start, start + len(literal))


def find(pattern: str, text: str, timeout_s: float | None = None) -> Found | None:
    """The first place where `pattern` matches in `text`. Raises TimeoutError after `timeout_s`."""
    found = compile_pattern(pattern).search(text, timeout=timeout_s)
    if found is None:
        return None
    return Found({name: value for name, value in found.groupdict().items() if value is not None}, *found.span())


def plain(text: str) -> str:
    """`text` as the lines of a log are cleaned: no ANSI escapes, no C0 controls but tab, `\\n` for every line end."""
    return compile_pattern(_UNPRINTED).sub("", compile_pattern(_LINE_END).sub("\n", text))
