"""Prefixes that batch systems, containers, loggers and launchers put in front of the lines of a program.

A pattern that begins with `^` is tried on a line as it stands, and then behind each element of its prefix: a time
stamp, a syslog header, the name of a stream, a rank, words in brackets, a level, indentation. Here stand the shapes of
such elements, and no text of a program.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

MAX_ELEMENTS = 6

_DATE = r"(?:\d{4}[-/.]\d\d[-/.]\d\d|\d\d[-/.]\d\d[-/.]\d{2,4}|\d{1,2}[-/ ][A-Z][a-z]{2}[-/ ]\d{4})"
_TIME = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|GMT|CES?T|[+-]\d\d:?\d\d))?"
_STAMP = rf"(?:{_DATE}(?:[T ,_]{_TIME})?|{_TIME})"
_SYSLOG = r"(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.-]{1,64} "
_PROGRAM = r"[\w./-]{1,64}\[\d{1,8}\]: "
_ELEMENT = regex.compile(
    rf"(?: +|{_SYSLOG}|{_PROGRAM}|{_STAMP}[:,]?(?: +[-|])? +"
    rf"|\[[^\[\]\n]{{1,80}}\](?:<\w{{3,8}}>)?:?(?: +|(?=\[))|\[\d+,\d+\]<std\w{{3}}>:? ?"
    r"|std(?:out|err) [FP] |(?:rank|task|proc|process|pe|worker|node)[ _#=-]?\d{1,6}\]?: +|\d{1,6}: +"
    r"|(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|FATAL|CRITICAL)(?: +[|-]|:)? +|[\w.-]{1,40} +\| +)",
    regex.VERSION0,
)


_FIRST_OF_PREFIX = frozenset("0123456789[<JFMASONDrtpwns")
"""First characters of stamps, brackets, months and names of processes and streams."""


def has_prefix(line: str) -> bool:
    """Whether a line begins with an element of a prefix that is neither indentation nor a level."""
    return line[:1] in _FIRST_OF_PREFIX and _ELEMENT.match(line) is not None


def without_prefix(window: str) -> Iterator[tuple[str, list[int]]]:
    """Yield the lines behind one element of their prefixes, behind two, and so on, with the lengths cut from each line.

    It ends where the first line has no further element.
    """
    lines = window.split("\n")
    cuts = [_cuts(line) for line in lines]
    for count in range(1, len(cuts[0]) + 1):
        lengths = [own[min(count, len(own)) - 1] if own else 0 for own in cuts]
        yield "\n".join(line[length:] for line, length in zip(lines, lengths, strict=True)), lengths


def _cuts(line: str) -> list[int]:
    """Return the ends of the elements of a line's prefix, in order."""
    ends: list[int] = []
    at = 0
    while len(ends) < MAX_ELEMENTS and (found := _ELEMENT.match(line, at)):
        at = found.end()
        ends.append(at)
    return ends
