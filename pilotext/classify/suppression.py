"""Suppression of rules that matched, by their `unless`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pilotext.classify.rule_match import Matches, RuleMatch
from pilotext.model.verdict import ExitStatus
from pilotext.rules.conditions import CHECKED_END, GOOD_END
from pilotext.rules.schema import Rule


def suppressed(rule_matches: Sequence[RuleMatch], names: Iterable[str]) -> Mapping[str, str]:
    """Return the reason for each suppressed rule; `names` are those that apply to the job: kind, type, a good end."""
    holds = {*names, *(one.rule.id for one in rule_matches)}
    silent = {one.rule.id: f"silent with {', '.join(hit)}" for one in rule_matches if (hit := _hit(one.rule, holds))}
    deciding = [one.rule for one in rule_matches if _decides(one.rule) and one.rule.id not in silent]
    if all(rule.text.unless.alone for rule in deciding):
        silent |= {rule.id: "nothing else shows a failure" for rule in deciding}
    return silent


def doubtful(rule_matches: Iterable[RuleMatch], silent: Mapping[str, str], matches: Matches) -> list[RuleMatch]:
    """Return the matches that a good end forgave although only checked outputs can disprove them.

    What stands behind the end marker is none of them.
    """
    return [one for one in rule_matches if CHECKED_END in silent.get(one.rule.id, "") and _before_the_end(one, matches)]


def _before_the_end(one: RuleMatch, matches: Matches) -> bool:
    first = one.evidence[0]
    return first.offset <= matches.marker_offsets.get(first.stream, first.offset)


def ended_well(rules: Iterable[Rule], matches: Matches, status: ExitStatus | None) -> bool:
    """Whether the end markers that these rules require, at least one, were found, and the exit status is not bad."""
    if status is not None and (status.code != 0 or status.signal is not None):
        return False
    asked = [(rule.id, form) for rule in rules if _decides(rule) for form in rule.conditions if form.absent is not None]
    return bool(asked) and all(marker in matches.markers for marker in asked)


def names_of(kind: str, job_type: str, *, good_end: bool) -> set[str]:
    """Return the names of a job that `unless` can use."""
    return {kind, job_type, GOOD_END, CHECKED_END} if good_end else {kind, job_type}


def _hit(rule: Rule, holds: set[str]) -> list[str]:
    return [name for name in rule.text.unless.names if name in holds and name != rule.id]


def _decides(rule: Rule) -> bool:
    return rule.text.action != "note" and rule.text.status == "active"
