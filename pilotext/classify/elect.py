"""Which of all rules that were seen is the reason. The order is always the same, and never that of a file:

1. notes are known to be benign, shadows are on trial, and some rules are silent this time (`unless`): none is elected;
2. what another rule explains, through however many steps, is a consequence;
3. what the wrapper measured (a limit, a finding, a signal from outside) comes before a text about it, a text before the
   exit status, then the state of a file, then a missing marker, and at last the checks of outputs and counts: `Weight`;
4. within that, rules of the experiment come before common ones;
5. within that, the first in the log; stderr is read before stdout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pilotext.classify.sighting import Sighting, Weight
from pilotext.model.verdict import Dropped
from pilotext.rules.schema import Rule

WORDS = {
    Weight.LIMIT: "a limit that was enforced",
    Weight.FINDING: "what the wrapper found",
    Weight.SIGNAL: "a signal from outside",
    Weight.TEXT: "a text of the log",
    Weight.EXIT: "the exit status",
    Weight.FILE: "the state of a file",
    Weight.ABSENT: "a missing marker",
    Weight.VALIDATION: "a check of outputs and counts",
}


@dataclass(frozen=True)
class Election:
    """The rule that says why the job failed, if any does, and for every other one why it was not elected."""

    winner: Sighting | None
    dropped: tuple[Dropped, ...]


def elect(sightings: Sequence[Sighting], rules: Iterable[Rule], silent: Mapping[str, str] | None = None) -> Election:
    """Elect among sightings, one for each rule; `rules` are all rules, for what they explain.

    `silent` are rules that say nothing this time, with the reason.
    """
    kept_out = {one.rule.id: _never_elected(one.rule) or (silent or {}).get(one.rule.id, "") for one in sightings}
    dropped = [Dropped(rule=rule, reason=reason) for rule, reason in kept_out.items() if reason]
    standing = sorted((one for one in sightings if not kept_out[one.rule.id]), key=_rank)
    known = {rule.id: rule.text.explains for rule in rules}
    reach = {one.rule.id: _reach(one.rule.id, known) for one in standing}
    left = [one for one in standing if not any(_explains(other, one.rule.id, reach) for other in reach)]
    for one in standing:
        if one not in left:
            by = next(first.rule.id for first in left if _explains(first.rule.id, one.rule.id, reach))
            dropped.append(Dropped(rule=one.rule.id, reason=f"explained by {by}"))
    dropped += [Dropped(rule=one.rule.id, reason=_why_behind(one, left[0])) for one in left[1:]]
    return Election(left[0] if left else None, tuple(dropped))


def _never_elected(rule: Rule) -> str:
    if rule.text.action == "note":
        return "a note: known to be benign"
    return "on trial (shadow): counted, not elected" if rule.text.status == "shadow" else ""


def _rank(one: Sighting) -> tuple[Weight, bool, tuple[int, str, int], str]:
    return (one.weight, one.rule.common, one.place, one.rule.id)


def _reach(rule: str, explains: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Every rule that `rule` explains, directly or through others."""
    reached: set[str] = set()
    ahead = [*explains.get(rule, ())]
    while ahead:
        if (next_rule := ahead.pop()) not in reached:
            reached.add(next_rule)
            ahead += explains.get(next_rule, ())
    return frozenset(reached)


def _explains(other: str, rule: str, reach: Mapping[str, frozenset[str]]) -> bool:
    """Whether `other` explains `rule`; of rules that explain each other, neither is a consequence."""
    return rule in reach[other] and other not in reach[rule]


def _why_behind(one: Sighting, winner: Sighting) -> str:
    if one.weight != winner.weight:
        return f"{WORDS[one.weight]} comes after {WORDS[winner.weight]}: {winner.rule.id}"
    if one.rule.common != winner.rule.common:
        return f"a common rule comes after one of the experiment: {winner.rule.id}"
    return f"{winner.rule.id} comes first"
