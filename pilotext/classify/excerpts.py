"""Excerpts of a log: the matched lines with their neighbours, without secrets, short enough for a report."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import msgspec

from pilotext.classify.cleaning import Block, Line
from pilotext.model.verdict import Evidence
from pilotext.redaction import Redactor
from pilotext.rules.patterns import Found

BEFORE = 3
AFTER = 3
MAX_QUOTE_CHARS = 1000
MAX_NEIGHBOUR_CHARS = 300
MARK = " [...] "
PLAIN = Redactor()


def excerpt(text: str, start: int, end: int, longest: int = MAX_QUOTE_CHARS) -> str:
    """Return `text` without secrets; a text longer than `longest` is cut around `start` to `end`."""
    text = PLAIN.text(text)  # before cutting: half of a secret is not recognised
    if len(text) <= longest:
        return text
    begin = max(0, min(start - longest // 4, len(text) - longest))
    end = max(min(end, begin + longest), begin + longest)
    return (MARK.lstrip() if begin else "") + text[begin:end] + (MARK.rstrip() if end < len(text) else "")


def shorten(line: Line) -> Line:
    return replace(line, text=excerpt(line.text, 0, 0, MAX_NEIGHBOUR_CHARS))


def touched_lines(window: str, found: Found) -> int:
    """Count the lines of the window up to the end of a match."""
    return window.count("\n", 0, found.end) + 1


def quote(rule: str, stream: str, line: Line, window: str, found: Found) -> Evidence:
    """Return the evidence for a match in `window`, which begins with `line`: all lines that the match touches."""
    lines = window.split("\n")[: touched_lines(window, found)]
    text = excerpt("\n".join(lines), found.start, found.end)
    return Evidence(rule=rule, stream=stream, line=line.number, offset=line.offset, text=text)


def with_neighbours(evidence: Evidence, lines: int, recent: RecentLines) -> Evidence:
    """Return the evidence, of so many lines, with the neighbours before and after it."""
    behind = evidence.line + lines
    return msgspec.structs.replace(
        evidence,
        before=tuple(shorten(near).text for near in recent.lines(evidence.line - BEFORE, evidence.line)),
        after=tuple(shorten(near).text for near in recent.lines(behind, behind + AFTER)),
    )


class RecentLines:
    """Newest block of a stream, and at least the last `keep` lines before it."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._blocks: deque[Block] = deque()

    def add(self, block: Block) -> None:
        while len(self._blocks) > 1 and self.end - self._blocks[1].number >= self._keep:
            self._blocks.popleft()
        self._blocks.append(block)

    @property
    def end(self) -> int:
        """Number of the line that comes next."""
        return self._blocks[-1].end if self._blocks else 1

    def lines(self, start: int, stop: int) -> list[Line]:
        """Return the lines numbered from `start` to before `stop`, as far as they are kept."""
        return [
            block.line(number)
            for block in self._blocks
            for number in range(max(start, block.number), min(stop, block.end))
        ]

    def tail(self, most: int) -> tuple[Line, ...]:
        """Return the last lines, at most this many."""
        return tuple(self.lines(self.end - most, self.end))
