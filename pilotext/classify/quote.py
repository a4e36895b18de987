"""Quoting a log: short enough for a report, with what stands around."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from pilotext.classify.clean import Line
from pilotext.classify.recent import Recent
from pilotext.model.verdict import Evidence
from pilotext.redact import Redactor
from pilotext.rules.patterns import Found

BEFORE = 3
AFTER = 3
LONGEST_QUOTE = 1000
LONGEST_NEIGHBOUR = 300
MARK = " [...] "
PLAIN = Redactor()


def excerpt(text: str, start: int, end: int, longest: int = LONGEST_QUOTE) -> str:
    """`text` without secrets, if it is longer than `longest` around the part from `start` to `end`."""
    text = PLAIN.text(text)  # before it is cut: half a secret has no shape
    if len(text) <= longest:
        return text
    begin = max(0, min(start - longest // 4, len(text) - longest))
    end = max(min(end, begin + longest), begin + longest)
    return (MARK.lstrip() if begin else "") + text[begin:end] + (MARK.rstrip() if end < len(text) else "")


def shorten(line: Line) -> Line:
    return replace(line, text=excerpt(line.text, 0, 0, LONGEST_NEIGHBOUR))


def touched_lines(window: str, found: Found) -> int:
    """How many lines of the window a match reaches into, from its first one on."""
    return window.count("\n", 0, found.end) + 1


def quote(rule: str, stream: str, line: Line, window: str, found: Found) -> Evidence:
    """The evidence for a match in `window`, which begins with `line`: all lines that the match touches."""
    lines = window.split("\n")[: touched_lines(window, found)]
    text = excerpt("\n".join(lines), found.start, found.end)
    return Evidence(rule=rule, stream=stream, line=line.number, offset=line.offset, text=text)


def with_neighbours(evidence: Evidence, lines: int, recent: Recent) -> Evidence:
    """The evidence, which is that many lines, with what stands before and behind it."""
    behind = evidence.line + lines
    return msgspec.structs.replace(
        evidence,
        before=tuple(shorten(near).text for near in recent.lines(evidence.line - BEFORE, evidence.line)),
        after=tuple(shorten(near).text for near in recent.lines(behind, behind + AFTER)),
    )
