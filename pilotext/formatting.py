"""Times and sizes as people read them, on the command line and on pages."""

from __future__ import annotations

import time


def clock(at: float | None) -> str:
    """Return a point in time as people write it, in UTC."""
    return "-" if not at else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


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
