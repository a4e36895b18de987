"""Times and sizes as people read and write them, on the command line and on pages."""

from __future__ import annotations

import re
import time
from calendar import timegm

from pilotext.errors import UsageError

_AGO = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def clock(at: float | None) -> str:
    """Return a point in time as people write it, in UTC."""
    return "-" if not at else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def counted_words(number: int, word: str) -> str:
    """Return a number with its word, in the plural where it is not one."""
    return f"{number:,} {word}{'' if number == 1 else 's'}".replace(",", "\u2009")


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
