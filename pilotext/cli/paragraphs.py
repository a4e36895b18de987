"""Pages of one thing for people: fields and reasons as lines of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from pilotext.api.schemas.waits import Wait
from pilotext.cli.tables import clock
from pilotext.sanitize import one_line

WIDTH = 80
LABEL = 12
_INDENT = "  "
_CHANGERS = {"server": "the server", "operator": "whoever runs agents there"}


def fields(rows: Iterable[tuple[str, object]]) -> str:
    """Fields under each other, without those that are empty."""
    return "\n".join(
        line for label, value in rows if value not in (None, "", "-") for line in _field(label, str(value))
    )


def sentence(text: str, *, indent: str = "") -> str:
    """One text in lines; only a word that is too long for a line of its own makes a longer one."""
    return "\n".join(_wrapped(text, indent, indent + _INDENT))


def bytes_of(size: int | None) -> str:
    """A size for people."""
    if size is None:
        return ""
    unit, value = "B", float(size)
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        unit, value = larger, value / 1000
    return f"{value:.4g} {unit}"


def duration(seconds: float | None) -> str:
    """A time span for people."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h"


def reasons(waits: Iterable[Wait]) -> Iterator[str]:
    """Why something waits, a few lines for each reason."""
    for wait in waits:
        yield sentence(f"waits: {wait.what}")
        if times := "; ".join(_times(wait)):
            yield sentence(times, indent=_INDENT)
        yield sentence(f"who can change it: {_CHANGERS.get(wait.who, wait.who)}: {wait.how}", indent=_INDENT)


def _times(wait: Wait) -> Iterator[str]:
    if wait.since:
        yield f"since {clock(wait.since)}"
    if wait.until:
        yield f"until {clock(wait.until)} at the latest"


def _field(label: str, text: str) -> list[str]:
    return _wrapped(text, f"{label + ':':<{LABEL}} ", " " * (LABEL + 1))


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    lines = textwrap.wrap(
        one_line(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]
