"""Rules and counters that are used together, as every check sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pilotext.errors import FileProblem
from pilotext.model.codes import DEFAULT_CODES, code_range
from pilotext.rules.conditions import Condition
from pilotext.rules.schema import CounterText, RuleText, conditions_of
from pilotext.rules.source import Entry


@dataclass(frozen=True)
class Group:
    """Rules and counters that are used together: `common` and one experiment, or `common` alone (None)."""

    experiment: str | None
    rules: tuple[Entry[RuleText], ...]
    counters: tuple[Entry[CounterText], ...]
    jobs: tuple[str, ...] = ()
    """Types of jobs of the experiment, and kinds that its profile declares."""
    codes: tuple[range, ...] = (code_range(DEFAULT_CODES),)
    """Codes that rules of the experiment may have."""


Check = Callable[[Group], Iterator[FileProblem]]


def conditions_in(text: RuleText) -> Iterator[tuple[str, Condition]]:
    for index, condition in enumerate(conditions_of(text)):
        yield (f"any[{index}]." if text.any else ""), condition


def patterns_in(group: Group) -> Iterator[tuple[Entry[RuleText] | Entry[CounterText], str, str]]:
    """Yield every regular expression of a group with its rule or counter and its field."""
    for entry in group.rules:
        for field, condition in conditions_in(entry.text):
            if condition.match is not None:
                yield entry, f"{field}match", condition.match
    for counter in group.counters:
        yield counter, "match", counter.text.match


def place_of(entry: Entry[RuleText] | Entry[CounterText]) -> str:
    return f"{entry.place.file}:{entry.place.line}"
