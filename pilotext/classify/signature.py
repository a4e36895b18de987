"""A name for a failure that no rule knows: equal on other nodes, dates and runs, so that it can be counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

LINES = 3
"""How many of the last different lines tell one failure from another."""

# In this order: what is masked first is not taken apart by the next.
_MASKS = [
    (re.compile(pattern), mask)
    for pattern, mask in (
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
]


def masked(line: str) -> str:
    """The line without what differs between two cases of one failure."""
    for pattern, mask in _MASKS:
        line = pattern.sub(mask, line)
    return line.strip()


def signature(lines: Iterable[str], exit_status: str = "") -> str:
    """16 hexadecimal digits for the end of a log and the exit status. Lines that repeat count once."""
    different = dict.fromkeys(text for line in reversed([*lines]) if (text := masked(line)))
    text = "\n".join([exit_status, *[*different][:LINES]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
