"""Times and sizes as people read and write them, on the command line and on pages."""

from __future__ import annotations

import re
import time
from calendar import timegm

from pilotext.errors import UsageError

_AGO = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
THIN_SPACE = "\u2009"
_OF_MANY = {"is": "are", "was": "were", "has": "have", "does": "do"}
_DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def clock(at: float | None) -> str:
    """Return a point in time as people write it, in UTC."""
    return "-" if not at else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def counted_words(number: int, noun: str, verb: str = "", *, group: str = "") -> str:
    """Return a number with its noun and verb, both given for one thing: `1 job waits`, `2 jobs wait`.

    `group` stands between thousands: `THIN_SPACE` on pages, nothing where the command line prints ASCII.
    """
    words = f"{number:,} {noun_for(number, noun)}".replace(",", group)
    return f"{words} {verb_for(number, verb)}" if verb else words


def these_words(number: int, noun: str) -> str:
    """Return things that stand just before or after: `this job`, `these 2 jobs`."""
    return f"this {noun}" if number == 1 else f"these {counted_words(number, noun)}"


def noun_for(number: int, noun: str) -> str:
    """Return a noun in the form for a number; of `name of other tasks` the first word has it."""
    head, of, rest = noun.partition(" of ")
    if number == 1:
        return noun
    if head.endswith("y") and head[-2:-1] not in set("aeiou"):
        return f"{head[:-1]}ies{of}{rest}"
    return f"{head}{'es' if head.endswith(('s', 'x', 'ch', 'sh')) else 's'}{of}{rest}"


def verb_for(number: int, verb: str) -> str:
    """Return a verb, given as of one thing (`waits`, `is`), in the form for a number."""
    return verb if number == 1 else _OF_MANY.get(verb, verb.removesuffix("s"))


def bytes_of(size: int | None) -> str:
    """Return a size for people."""
    if size is None:
        return ""
    unit, value = "B", float(size)
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        unit, value = larger, value / 1000
    return f"{value:.4g} {unit}"


def duration(seconds: float | None) -> str:
    """Return a time span for people."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h"


def point_in_time(text: str) -> float:
    """Return the seconds since 1970 of a date (UTC) or of a time ago. Raises UsageError for another text."""
    if ago := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return max(0.0, time.time() - int(ago[1]) * _AGO[ago[2]])
    for form in _DATES:
        try:
            return float(timegm(time.strptime(text, form)))
        except ValueError:
            continue
    raise UsageError(
        f"{text!r:.60} is not a point in time.", advice="Write 2026-05-31, 2026-05-31T14:30, or 12h, 7d, 2w ago."
    )
