"""Texts of the command line: counts, and pages of fields and reasons in lines of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from pilotext.api.schemas.waits import NOT_BEFORE, Wait
from pilotext.formatting import clock
from pilotext.sanitize import one_line

WIDTH = 80
LABEL = 12
_INDENT = "  "
_CHANGERS = {"server": "the server", "operator": "the operator of the agents there"}


def counts(numbers: Mapping[str, int]) -> str:
    """Return numbers by their names, such as `failed:1 finished:2`."""
    return " ".join(f"{name}:{number}" for name, number in sorted(numbers.items())) or "-"


def run_chunk(run: int | None, chunk: int | None) -> str:
    """Return run and chunk such as `275772-12`; `275772` for a merge of the run, `-` for a job without a run."""
    return "-".join(str(number) for number in (run, chunk) if number is not None) or "-"


def fields(rows: Iterable[tuple[str, object]]) -> str:
    """Return fields under each other, without those that are empty."""
    return "\n".join(
        line for label, value in rows if value not in (None, "", "-") for line in _field(label, str(value))
    )


def sentence(text: str, *, indent: str = "") -> str:
    """Return a text in lines; only a word that is too long for a line of its own makes a longer one."""
    return "\n".join(_wrapped(text, indent, indent + _INDENT))


def reasons(waits: Iterable[Wait]) -> Iterator[str]:
    """Yield the reasons why something waits, a few lines for each."""
    for wait in waits:
        yield sentence(f"waits: {wait.what}")
        if times := "; ".join(_times(wait)):
            yield sentence(times, indent=_INDENT)
        yield sentence(f"who can change it: {_CHANGERS.get(wait.who, wait.who)}: {wait.how}", indent=_INDENT)


def _times(wait: Wait) -> Iterator[str]:
    if wait.since:
        yield f"since {clock(wait.since)}"
    if wait.until:
        at = clock(wait.until)
        yield f"not before {at}" if wait.kind in NOT_BEFORE else f"until {at} at the latest"


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
