"""Quoted lines of logs: their numbers, and the parts that a rule caught."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pilotext.model.log_index import FILES_OF_STREAMS
from pilotext.model.verdict import Evidence
from pilotext.rules.patterns import compile_pattern, plain
from pilotext.rules.schema import Rule

MARK_WITHIN_S = 0.05
"""Time in seconds for one pattern on one quoted text; nothing is marked where it needs longer."""


@dataclass(frozen=True)
class Segment:
    """A part of a line; `caught` is what a rule looked for in it."""

    text: str
    caught: bool = False


@dataclass(frozen=True)
class LogLine:
    """A quoted line of a log; `number` is None where the report does not know it, `decisive` is a matched line."""

    number: int | None
    segments: tuple[Segment, ...]
    decisive: bool

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True)
class Quote:
    """A place where a rule matched, with the lines around it."""

    stream: str
    line: int
    lines: tuple[LogLine, ...]
    file: str
    """The file of the archive that holds it; empty where there is none."""
    rule: str


def quote_of(evidence: Evidence, rule: Rule | None) -> Quote:
    """Return the lines of a quotation with their numbers in the log, and what the rule caught in them."""
    before = len(evidence.before)
    first = evidence.line - before if evidence.line else None
    decisive = _segments(evidence.text, _spans(evidence.text, rule))
    whole = [
        *(((Segment(text),), False) for text in evidence.before),
        *((segments, True) for segments in decisive),
        *(((Segment(text),), False) for text in evidence.after),
    ]
    lines = (
        LogLine(None if first is None else first + place, segments, hit) for place, (segments, hit) in enumerate(whole)
    )
    return Quote(evidence.stream, evidence.line, tuple(lines), file_of(evidence), evidence.rule)


def file_of(evidence: Evidence) -> str:
    """Return the file of the archive of logs that holds a quoted line; empty for a quotation of the wrapper itself."""
    name = FILES_OF_STREAMS.get(evidence.stream, evidence.stream)
    return name if evidence.line and name and "/" not in name else ""


def _spans(text: str, rule: Rule | None) -> list[tuple[int, int]]:
    """Return the places in a quoted text that the rule caught; all of it where these cannot be told."""
    if rule is not None and plain(text) == text:
        for condition in rule.conditions:
            if condition.match is not None and (spans := _caught(condition.match, text)):
                return spans
            if condition.contains is not None and (start := text.find(condition.contains)) >= 0:
                return [(start, start + len(condition.contains))]
    return [(0, len(text))]


def _caught(pattern: str, text: str) -> list[tuple[int, int]]:
    """Return the spans of the named groups of a match, or that of the match where it has none."""
    try:
        found = compile_pattern(pattern).search(text, timeout=MARK_WITHIN_S)
    except TimeoutError:
        return []
    if found is None:
        return []
    groups = sorted(span for name in found.re.groupindex if (span := found.span(name)) and span[1] > span[0] >= 0)
    return groups or [found.span()]


def _segments(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[Segment, ...]]:
    """Yield the segments of each line of a text."""
    at = 0
    for line in text.split("\n"):
        end = at + len(line)
        segments, begin = [], at
        for start, stop in spans:
            start, stop = max(start, begin), min(stop, end)  # noqa: PLW2901  the part that is in this line
            if start < stop:
                segments += [Segment(text[begin:start])] if begin < start else []
                segments.append(Segment(text[start:stop], caught=True))
                begin = stop
        if begin < end or not segments:
            segments.append(Segment(text[begin:end]))
        yield tuple(segments)
        at = end + 1
