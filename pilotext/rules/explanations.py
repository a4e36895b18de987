"""Relation "explains" between rules, from `explains` and `consequence-of` of all rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pilotext.rules.schema import RuleText, conditions_of

ANY = "any"
"""In `consequence-of`: every failure that a text or an exit status shows."""


def explanations(rules: Sequence[RuleText]) -> dict[str, tuple[str, ...]]:
    """Return for each rule the ids of the rules that it explains, in a fixed order."""
    known = {rule.id: [*dict.fromkeys([*rule.explains, *members(rule)])] for rule in rules}
    for rule in rules:
        for cause in _causes(rule, rules):
            if cause in known and rule.id not in known[cause]:
                known[cause].append(rule.id)
    return {rule: tuple(explained) for rule, explained in known.items()}


def members(rule: RuleText) -> Iterator[str]:
    """Yield the rules that this one is made of (`all`, ids in `any`)."""
    return (one for condition in conditions_of(rule) for one in condition.all or ())


def circles(rules: Sequence[RuleText]) -> Iterator[tuple[str, ...]]:
    """Yield each cycle of explanations, as the path from a rule back to itself."""
    known = explanations(rules)
    for start in known:
        if way := _way_back(start, known):
            yield way


def _causes(rule: RuleText, rules: Sequence[RuleText]) -> Iterator[str]:
    for cause in rule.consequence_of:
        if cause != ANY:
            yield cause
            continue
        known = {rule.id, *rule.explains, *members(rule)}
        yield from (other.id for other in rules if _shows_failure(other) and other.id not in known)


def _shows_failure(rule: RuleText) -> bool:
    evidence = any(c.match or c.contains or c.exit or c.all for c in conditions_of(rule))
    return evidence and rule.action != "note" and rule.status == "active"


def _way_back(start: str, known: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for rule in known.get(way[-1], ()):
            if rule == start:
                return (*way, start)
            if rule not in seen:
                seen.add(rule)
                ways.append((*way, rule))
    return ()
