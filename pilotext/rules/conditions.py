"""Conditions of rules: every kind of evidence that a rule may ask for.

A new kind is a field of `Condition` and of `RuleText` in `schema.py`, and its name in `CONDITION_KINDS`. It is
evaluated in `pilotext/classify/conditions.py`, or in `matching.py` there if it is about a text; its values are checked
in `pilotext/rules/lint/conditions.py`.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from pilotext.model import Record

_EXIT_RANGE = re.compile(r"(\d+)-(\d+)")


class ExitCondition(Record, frozen=True):
    """Exit status of the program: one of these codes, ranges or signals."""

    codes: tuple[int, ...] = ()
    """Exit statuses, any of them."""
    ranges: tuple[str, ...] = ()
    """Ranges of exit statuses, both ends included, for example `129-139`."""
    signals: tuple[str, ...] = ()
    """Names of signals, for example SIGKILL; any of them ended the program."""
    core: bool | None = None
    """True requires a core dump beside the signal, false requires none."""


class FileCondition(Record, frozen=True):
    """A file of the work directory (a glob) in a state; `bytes` is the size for `smaller-than`."""

    name: str
    """Name pattern of files in the work directory, for example `*.root`; no regular expression."""
    state: Literal["missing", "empty", "smaller-than", "not-root", "placeholder"] = msgspec.field(name="is")
    """State of at least one such file; `missing`: there is none."""
    bytes: int = 0
    """Size below which a file is `smaller-than`; for that state only."""


class RateCondition(Record, frozen=True):
    """Count above an absolute number, or above a percentage of the counter `of`, or both.

    The count is the value of a `counter`, or the number of matches of a `rule`, whose lines then are evidence.
    """

    counter: str | None = None
    """Counter whose value is compared; or else `rule`."""
    rule: str | None = None
    """Rule whose matches are counted, and whose lines are quoted; or else `counter`."""
    more_than: int | None = msgspec.field(default=None, name="more-than")
    """Number that the count must exceed."""
    percent: float | None = None
    """Percentage of the counter `of` that the count must exceed."""
    of: str | None = None
    """Counter that `percent` refers to."""


class Unless(Record, frozen=True):
    """Circumstances in which a rule that matched says nothing; any of them is enough."""

    good_end: bool = msgspec.field(default=False, name="good-end")
    """The program ended with status 0, and the end marker of its job type was found."""
    checked_end: bool = msgspec.field(default=False, name="checked-end")
    """The same, where outputs or event counts are checked as well, or the text stands behind the end marker.

    Where nothing checks them, as in a log alone, the verdict is `unknown`.
    """
    alone: bool = False
    """Nothing else shows that the job failed: the text only supports."""
    rules: tuple[str, ...] = ()
    """One of these rules matched."""
    jobs: tuple[str, ...] = ()
    """The job has one of these kinds or types."""

    def __bool__(self) -> bool:
        return self != Unless()

    @property
    def names(self) -> tuple[str, ...]:
        """Every circumstance by its name, as `names_of` a job and the ids of rules give them."""
        ends = [name for name, there in (("good-end", self.good_end), ("checked-end", self.checked_end)) if there]
        return (*ends, *self.rules, *self.jobs)


class Condition(Record, frozen=True):
    """One form of evidence; exactly one of the fields from `match` to `all` is set."""

    match: str | None = None
    """Regular expression of Python that a line contains; `(?<name>...)` names a part for `message`."""
    contains: str | None = None
    """Text that a line contains as it stands; nothing in it needs a backslash."""
    absent: str | None = None
    """Text that no line contains: an end marker; `{marker}` is that of the job's type."""
    exit: ExitCondition | None = None
    """Exit status of the program."""
    file: FileCondition | None = None
    """State of a file of the work directory."""
    limit: str | None = None
    """Limit that the wrapper enforced."""
    finding: str | None = None
    """Finding of the wrapper."""
    events: str | None = None
    """Event balance that is broken, for example `done + skipped == raw_events`."""
    rate: RateCondition | None = None
    """Count above a bound."""
    all: tuple[str, ...] | None = None
    """Ids of rules that have all matched."""
    lines: int = 1
    r"""Number of lines that `match` may span, with `\n` between them."""
    tolerance: str | float = 0
    """Tolerance of `events`: a number of events, or a percentage as '1%'."""
    unless: Unless = Unless()
    """Circumstances in which a missing text does not matter; for `absent` in a list `any`."""
    stream: str = "any"
    """stdout, stderr, any, or a name pattern of a file in the work directory, for example `*.log`."""


CONDITION_KINDS = ("match", "contains", "absent", "exit", "file", "limit", "finding", "events", "rate", "all")

MARKER = "{marker}"
"""In `absent`: the job type's `success.marker`, unless another rule requires it already."""

GOOD_END = "good-end"
"""Name of a good end among the names of a job (`Unless.good_end`)."""

CHECKED_END = "checked-end"
"""The same where outputs or event counts are checked as well (`Unless.checked_end`)."""


def exit_range(text: str) -> range:
    """Parse `129-139` as a range of exit codes, both ends included. Raises ValueError for other texts."""
    found = _EXIT_RANGE.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise ValueError(f"{text!r} is not a range of exit codes")
    return range(int(found[1]), int(found[2]) + 1)
