"""Election of the reason among all rules that matched. The order never depends on the order of files:

1. notes (known to be benign), shadow rules (on trial) and suppressed rules (`unless`) are never elected;
2. a rule that another one explains, directly or through others, is a consequence;
3. measurements of the wrapper (a limit, a finding, a signal from outside) come before a text of the log, then the exit
   status, the state of a file, a missing marker, and last the checks of outputs and counts: `Precedence`;
4. at equal precedence, rules of the experiment come before common ones;
5. then the first in the log; stderr comes before stdout;
6. in one line, the more specific rule: the one that requires the longer text, then the one for fewer jobs. Lint refuses
   rules that are equal in all this and take the same example, so that no name ever decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pilotext.classify.rule_match import Precedence, RuleMatch
from pilotext.model.verdict import Dropped
from pilotext.rules.schema import Rule

WORDS = {
    Precedence.LIMIT: "a limit that was enforced",
    Precedence.FINDING: "what the wrapper found",
    Precedence.SIGNAL: "a signal from outside",
    Precedence.TEXT: "a text of the log",
    Precedence.EXIT: "the exit status",
    Precedence.FILE: "the state of a file",
    Precedence.ABSENT: "a missing marker",
    Precedence.VALIDATION: "a check of outputs and counts",
}


@dataclass(frozen=True)
class Election:
    """Elected match, if any, and for every other rule the reason why it was not elected."""

    winner: RuleMatch | None
    dropped: tuple[Dropped, ...]


def elect(
    rule_matches: Sequence[RuleMatch], rules: Iterable[Rule], silent: Mapping[str, str] | None = None
) -> Election:
    """Elect among matches, one for each rule; `rules` are all rules, for their `explains`.

    `silent` gives the reason for each suppressed rule.
    """
    kept_out = {one.rule.id: _never_elected(one.rule) or (silent or {}).get(one.rule.id, "") for one in rule_matches}
    dropped = [Dropped(rule=rule, reason=reason) for rule, reason in kept_out.items() if reason]
    standing = sorted((one for one in rule_matches if not kept_out[one.rule.id]), key=_rank)
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


def _rank(one: RuleMatch) -> tuple[Precedence, bool, tuple[int, str, int], int, int, str]:
    return (one.precedence, one.rule.common, one.place, -one.literal, -one.rule.text.narrowness, one.rule.id)


def _reach(rule: str, explains: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return every rule that `rule` explains, directly or through others."""
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


def _why_behind(one: RuleMatch, winner: RuleMatch) -> str:
    if one.precedence != winner.precedence:
        return f"{WORDS[one.precedence]} comes after {WORDS[winner.precedence]}: {winner.rule.id}"
    if one.rule.common != winner.rule.common:
        return f"a common rule comes after one of the experiment: {winner.rule.id}"
    if one.place != winner.place:
        return f"{winner.rule.id} comes first"
    if one.literal != winner.literal:
        chars = f"{winner.literal} characters against {one.literal}"
        return f"{winner.rule.id} requires the longer text in this place: {chars}"
    if one.rule.text.narrowness != winner.rule.text.narrowness:
        return f"{winner.rule.id} is for fewer jobs, and both match in this place"
    return f"{winner.rule.id} and this rule match alike in this place: one of them needs `explains`"
