"""Patterns for one line, rewritten so that they can be searched in many lines at once."""

from __future__ import annotations

import re

import regex

from pilotext.rules.conditions import Condition
from pilotext.rules.literals import SET, required_literals

_PART = re.compile(rf"\\.|{SET}|.", re.DOTALL)
_CROSSES = re.compile(r"(?<!\\)(?:\\\\)*\\[^dwS\W]|[\x00-\x1f]-?|\\\n")
"""Elements through which a set that is not negated may contain a line end."""

_GROUP_NAME = re.compile(r"(?<!\\)((?:\\\\)*)\(\?P?<\w+>")
_OPTIONAL_BEGIN = re.compile(rf"\A(\(\?[a-z]+\)|)\^\(\?:(?:[^()\[\\]|\\.|{SET})*\)\?(?![?+])")
"""Begin of a line and a group that may be absent: what follows is in each matching line, and is found much faster."""

_NARROWED = {r"\s": r"[^\S\n]", r"\D": r"[^\d\n]", r"\W": r"[^\w\n]"}
_AS_THEY_ARE = frozenset((r"\d", r"\w", r"\S", r"\b", r"\B", r"\t"))


def pattern_of(condition: Condition) -> str | None:
    """Return a single-line condition as a pattern that crosses no line end; None if that is not certain.

    A condition without a required literal has none: it may match the empty text, or is not understood.
    """
    if condition.lines > 1 or required_literals(condition) is None:
        return None
    if condition.match is not None:
        return within_a_line(condition.match)
    literal = condition.contains or condition.absent or ""
    return None if "\n" in literal else str(regex.escape(literal))


def pattern_for_ascii(condition: Condition) -> bytes | None:
    """Return a pattern for ASCII bytes that matches in each line in which the condition does; None if there is none.

    It has no group names, and no group that may be absent at its begin.
    """
    pattern = pattern_of(condition)
    if pattern is None or not pattern.isascii():
        return None
    return _OPTIONAL_BEGIN.sub(r"\1", _GROUP_NAME.sub(r"\1(", pattern)).encode()


def within_a_line(pattern: str) -> str | None:
    """Rewrite a pattern with a required literal so that no part crosses a line end; None if not certain."""
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
