"""Patterns that are slow: they do not end in time on lines that are made to make them search in vain.

The lines come from the pattern itself: for every piece that repeats, what must stand before it, the piece many times
over, and an end that does not fit. Time that grows with the square of a line's length passes; more does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import regex

from pilotext.errors import Problem
from pilotext.rules.checks import Group, patterns_in
from pilotext.rules.patterns import compile_pattern
from pilotext.rules.repeats import Repeat, repeats_of

# Quadratic time stays below both by a factor of ten or more, cubic and exponential time exceed both by as much.
FIRST_LOOK = (1_000, 0.03)
PROOF = (6_000, 0.5)
"""Characters of a line, and the seconds that a pattern may need for it."""

ENDS = ("!", " ", "", "0")
ADVICE = "Let no repeat stand inside a repeat, nor two that take the same text side by side: `[^:]*:`, not `.*:`."


def slow_patterns(group: Group) -> Iterator[Problem]:
    for entry, field, pattern in patterns_in(group):
        if line := slow_line(pattern):
            yield entry.problem(field, f"the pattern needs too long for a line like `{line}`.", ADVICE)


@cache
def slow_line(pattern: str) -> str:
    """A line on which the pattern does not end in time, cut short for people; empty if none is found."""
    try:
        compiled = compile_pattern(pattern)
    except regex.error:
        return ""
    for repeat in repeats_of(pattern):
        short, long = (_vain_lines(repeat, length) for length, _ in (FIRST_LOOK, PROOF))
        for first, proof in zip(short, long, strict=True):
            if not _in_time(compiled, first, FIRST_LOOK[1]) and not _in_time(compiled, proof, PROOF[1]):
                return f"{first[:20]}...{first[-20:]}"
    return ""


def _vain_lines(repeat: Repeat, length: int) -> list[str]:
    """Lines with the piece many times over; what must follow it stands elsewhere, or nowhere."""
    middle = repeat.before + repeat.text * (length // len(repeat.text))
    texts = [form for end in ENDS for form in (middle + end, repeat.after + middle + end, middle + end + repeat.after)]
    return list(dict.fromkeys(texts))


def _in_time(pattern: regex.Pattern[str], line: str, seconds: float) -> bool:
    try:
        pattern.search(line, timeout=seconds)
    except TimeoutError:
        return False
    return True
