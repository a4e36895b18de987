"""Signature of an unclassified failure: equal on other nodes, dates and runs, so that such failures can be counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache

from pilotext.classify.cleaning import Line
from pilotext.classify.rule_match import Matches, place_in_log
from pilotext.model.verdict import Evidence, ExitStatus
from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import TimedCondition
from pilotext.rules.schema import RuleSet

MAX_SIGNATURE_LINES = 3
"""Number of last different lines that distinguish failures."""

# In this order: a later mask never splits what an earlier one has masked.
_MASKS = (
    (r"\b\w+://\S+", "<url>"),
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<id>"),
    (r"(?<![\w.])(?:~|\.{1,2})?(?:/[\w.+~%$@=,:-]*[\w+~%$@=-])+/?", "<path>"),
    (r"[\w.+-]*-\d+[\w.+-]*\.(?:raw|root|log|opt|tgz|dat)\b|\b[\w+-]*\d[\w.+-]*\.(?:raw|root|log|tgz)\b", "<file>"),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +", ""),
    (r"\b\d{1,2}[ /-](?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[ /-]\d{4}\b", "<date>"),
    (r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2}(?:,? +\d{4}\b)?(?!\d)", "<date>"),
    (r"\b\d{4}[-/.]\d\d?[-/.]\d\d?(?:T(?=\d))?|\b\d\d?[-/.]\d\d?[-/.]\d{4}\b", "<date>"),
    (r"(?<!\w)\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AP]M\b)?(?:Z\b| ?[+-]\d\d:?\d\d\b)?", "<time>"),
    (r"(?:<date> ?<time>)(?: (?:\(?(?:GMT|UTC|CET|CEST)\)?))?(?: \d{4}\b)?", "<when>"),
    (r"\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", "<hex>"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<host>"),
    (r"(?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{1,4}(?!\w)", "<host>"),
    (
        r"\b(?:[A-Za-z0-9_-]+\.)+(?:ch|fr|de|it|ru|cz|es|uk|us|edu|org|net|com|gov|local|cern|localdomain"
        r"|internal|example|pt|pl|jp|il|se|fi|at|nl|eu|lan)\b(?::\d+)?",
        "<host>",
    ),
    (r"\b(?:node|wn|lxb|lxplus|worker|slot|batch|vm|b\d+[a-z])[\w-]*\d\w*(?:@\w+)?", "<host>"),
    (r"\b(?:tmp|pilot_?|job_?|panda_?)[._-]?(?=\w*[A-Z0-9])\w{6,}", "<id>"),
    (r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", "#"),
    (r"\s+", " "),
)


@cache
def _compiled_masks() -> list[tuple[re.Pattern[str], str]]:
    """Return the masks ready for use; most jobs need none: they are good, or a rule knows their failure."""
    return [(re.compile(pattern), mask) for pattern, mask in _MASKS]


def masked(line: str) -> str:
    """Return the line with everything masked that differs between two cases of one failure."""
    for pattern, mask in _compiled_masks():
        line = pattern.sub(mask, line)
    return line.strip()


def signature(lines: Iterable[str], exit_status: str = "") -> str:
    """Return 16 hexadecimal digits for the end of a log and the exit status. Repeated lines count once."""
    different = dict.fromkeys(text for line in reversed([*lines]) if (text := masked(line)))
    text = "\n".join([exit_status, *[*different][:MAX_SIGNATURE_LINES]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


MAX_LINES_BEFORE = 10
MAX_LINES_AFTER = 3

_SAYS_NOTHING = re.compile(
    r"^[\W_]*(?:begin|end)?[\w ]{0,30}[-=*#_+~]{4,}\W*$|^\W*[-=*#_+~]{4,}"  # a separator, with or without a title
    r"|^.{0,100}\b(?:exit|return|end|finish)(?:ed)?\b(?: \w+){0,3}? (?:code|status|value)\b\W*-?\d+\W*$"
    r"|^.{0,100}\b(?:rc|RC|status|ret) ?[=:] ?-?\d+\W*$|\*\*\* \[.*\] Error \d+$"  # an echoed status; make's too
    r"|^\W*(?:[er]?[abcd]x|[er]?[sd]i|[er]?[sbi]p|r\d\d?|[cdefgs]s|[er]?flags|cr2|trapno)\s*[:=]?\s*(?:0x)?[0-9a-f]{2,16}\b"
    r"|^goroutine \d+ \[|^\s*#\d+\s|^\s+at \S+\(|^\s+File \"|^\t\S+\.go:\d+|^Traceback \(most recent|^\s*\^[\^~]*\s*$",
    re.IGNORECASE,
)
"""Separators, echoes of a status, dumps of registers and frames of stacks: lines that follow from a failure."""

_EXCEPTION = re.compile(
    r"^\W{0,3}(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b: ?\S|\bwhat\(\): *\S|^panic: "
)
_SEVERE = re.compile(
    r"^.{0,60}?(?:\b(?:FATAL|ERROR|CRITICAL|SEVERE|EMERGENCY|PANIC)\b|\b(?:Fatal|Error|Critical)\b ?[:\]>])"
)


def decisive_place(lines: Sequence[Line]) -> int:
    """Return the index of the line that most probably says why a program failed; the lines are not empty.

    In the last block that has one it is the last message of an exception, or else the first line with a severity;
    without either, the last line but separators, echoed statuses, registers and frames of stacks.
    """
    useful = [place for place, line in enumerate(lines) if not _SAYS_NOTHING.search(line.text)]
    for block in reversed(_blocks(lines, useful)):
        if raised := [place for place in block if _EXCEPTION.search(lines[place].text)]:
            return raised[-1]
        if severe := [place for place in block if _SEVERE.search(lines[place].text)]:
            return severe[0]
    return useful[-1] if useful else len(lines) - 1


def _blocks(lines: Sequence[Line], places: Iterable[int]) -> list[list[int]]:
    """Return these places in groups of lines that follow each other in the log."""
    blocks: list[list[int]] = []
    for place in places:
        if blocks and lines[place].number == lines[blocks[-1][-1]].number + 1:
            blocks[-1].append(place)
        else:
            blocks.append([place])
    return blocks


def telling_tail(ruleset: RuleSet, matches: Matches) -> tuple[str, list[Line]]:
    """Return the last informative lines of stderr, or of the next stream that has any: its name, and the lines.

    Lines that match a note or a counter, and lines without a letter or digit, are left out. If a log has no others,
    its last lines that are not blank are returned.
    """
    streams = sorted(matches.streams, key=lambda name: place_in_log(name, 0))
    known = [TimedCondition(condition) for condition in _known(ruleset)]
    for stream in streams:
        lines = [line for line in matches.streams[stream].tail if _says(line.text)]
        if telling := [line for line in lines if not any(probe.look(line.text, len(line.text)) for probe in known)]:
            return stream, telling
    return next(((name, lines) for name in streams if (lines := _not_blank(matches.streams[name].tail))), ("", []))


def quote_tail(rule: str, stream: str, lines: Sequence[Line]) -> Evidence:
    """Return the line that says most, with those around it, as evidence for an unknown reason."""
    place = decisive_place(lines)
    line = lines[place]
    before = tuple(one.text for one in lines[max(0, place - MAX_LINES_BEFORE) : place])
    after = tuple(one.text for one in lines[place + 1 : place + 1 + MAX_LINES_AFTER])
    return Evidence(rule, stream, line.number, line.offset, line.text, before, after)


def signature_of(lines: Iterable[Line], status: ExitStatus | None) -> str:
    """Return the signature of a failure with this tail and status."""
    return signature((line.text for line in lines), str(status or ""))


def _known(ruleset: RuleSet) -> Iterable[Condition]:
    for rule in ruleset.rules:
        if rule.text.action == "note" and rule.text.status == "active":
            yield from (form for form in rule.conditions if (form.match or form.contains) and form.lines == 1)
    yield from (Condition(match=counter.match) for counter in ruleset.counters)


def _says(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _not_blank(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.text.strip()]
