"""Rules of a further folder that take the place of others: only where they say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilotext.errors import Problem
from pilotext.rules.schema import RuleText
from pilotext.rules.source import Entry


@dataclass(frozen=True)
class Settled:
    """The rules that are in force, each overridden one replaced, and the overrides that cannot be."""

    rules: tuple[Entry[RuleText], ...]
    problems: tuple[Problem, ...]


def settle(rules: Sequence[Entry[RuleText]]) -> Settled:
    """Apply every `override: true`; of several of one rule, the last folder's is in force."""
    in_force = [entry for entry in rules if not entry.text.override]
    problems: list[Problem] = []
    for entry in rules:
        if not entry.text.override:
            continue
        old = next((other for other in in_force if other.text.id == entry.text.id), None)
        problem = _nothing(entry) if old is None else _wrong(entry, old)
        if problem is not None:
            problems.append(problem)
        if old is not None:
            in_force[in_force.index(old)] = entry
    return Settled(tuple(in_force), tuple(problems))


def _nothing(entry: Entry[RuleText]) -> Problem:
    message = f"there is no rule {entry.text.id!r} to override."
    return entry.problem("override", message, "Correct the id, or remove `override`.")


def _wrong(entry: Entry[RuleText], old: Entry[RuleText]) -> Problem | None:
    place = f"{old.place.file}:{old.place.line}"
    if entry.document.path.parent == old.document.path.parent:
        return entry.problem("override", f"the rule that it overrides stands beside it: {place}.", "Change that one.")
    if entry.text.code != old.text.code:
        message = f"the overridden rule has code {old.text.code}: {place}."
        return entry.problem("code", message, f"Write `code: {old.text.code}`: a code keeps its meaning everywhere.")
    return None
