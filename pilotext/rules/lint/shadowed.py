"""Rules that can never be elected, because another one always wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import regex

from pilotext.errors import FileProblem
from pilotext.rules.conditions import Condition
from pilotext.rules.examples import TIMEOUT_S
from pilotext.rules.explanations import explanations
from pilotext.rules.lint.group import Group
from pilotext.rules.literals import literal_length, required_literals
from pilotext.rules.patterns import plain, search
from pilotext.rules.schema import RuleText, conditions_of
from pilotext.rules.source import Entry

Explained = Mapping[str, frozenset[str]]

ADVICE = "Add `explains: [{0}]` to it, or narrow {0}; if it is a consequence, narrow this rule."


def shadowed_rules(group: Group) -> Iterator[FileProblem]:
    """Yield rules that lose to one other rule on every example of their own, in every stream and job."""
    rivals = [entry for entry in group.rules if _can_win(entry.text)]
    reach = _reach([entry.text for entry in group.rules])
    for entry in rivals:
        # A common rule may lose to one of this experiment; it serves the others too.
        if (entry.experiment is None) != (group.experiment is None) or not _texts_only(entry.text):
            continue
        shown = [text for example in entry.text.examples if (text := example.match) is not None]
        better = (other for other in rivals if other is not entry and _always_before(other, entry, reach, shown))
        if shown and (other := next(better, None)):
            message = f"the rule can never win: {other.text.id} is elected on each of its examples."
            yield entry.problem("id", message, ADVICE.format(other.text.id))


def _can_win(text: RuleText) -> bool:
    return text.status == "active" and text.action != "note"


def _texts_only(text: RuleText) -> bool:
    return all(condition.match or condition.contains for condition in conditions_of(text))


def _always_before(other: Entry[RuleText], entry: Entry[RuleText], reach: Explained, shown: Sequence[str]) -> bool:
    one, two = other.text, entry.text
    if one.id == two.id or one.id in reach[two.id] or not _wider(one.jobs, two.jobs):
        return False
    explained = two.id in reach[one.id]
    if not explained and not all(_more_specific(one, two, text) for text in shown):
        return False
    return all(_matches_with(one, two, text, anywhere=explained) for text in shown)


def _more_specific(one: RuleText, two: RuleText, text: str) -> bool:
    """Whether the election takes `one` where both match a text in one line."""
    return _specificity(one, text) > _specificity(two, text)


def _specificity(rule: RuleText, text: str) -> tuple[int, int]:
    """Return what decides between rules in one line: the longest text that a matching form requires, and the scope."""
    forms = [form for form in conditions_of(rule) if _line(form, text) is not None]
    return max((literal_length(form) for form in forms), default=0), rule.narrowness


def tied_rules(group: Group) -> Iterator[FileProblem]:
    """Yield rules that match an example of another one in the same line just as specifically: no reason decides."""
    rivals = [entry for entry in group.rules if _can_win(entry.text)]
    reach = _reach([entry.text for entry in group.rules])
    for entry in rivals:
        if (entry.experiment is None) != (group.experiment is None):
            continue
        for text in (example.match for example in entry.text.examples if example.match is not None):
            for other in rivals:
                if _is_tie(entry, other, text, reach):
                    message = f"{other.text.id} matches the example {text[:60]!r} just as well."
                    advice = f"Say which one is the reason by `explains`, or narrow {other.text.id}."
                    yield entry.problem("examples", message, advice)


def _is_tie(entry: Entry[RuleText], other: Entry[RuleText], text: str, reach: Explained) -> bool:
    one, two = entry.text, other.text
    if one.id == two.id or one.id in reach[two.id] or two.id in reach[one.id]:
        return False
    if (entry.experiment is None) != (other.experiment is None) or not _may_meet(one.jobs, two.jobs):
        return False
    return _same_line(one, two, text) and _specificity(one, text) == _specificity(two, text)


def _same_line(one: RuleText, two: RuleText, text: str) -> bool:
    """Whether forms of both rules match a text in one line of one stream."""
    places = [
        {(form.stream, line) for form in conditions_of(rule) if (line := _line(form, text)) is not None}
        for rule in (one, two)
    ]
    return any(
        line == other_line and (stream == other_stream or "any" in (stream, other_stream))
        for stream, line in places[0]
        for other_stream, other_line in places[1]
    )


def _may_meet(one: Sequence[str], two: Sequence[str]) -> bool:
    """Whether a job can be within both scopes; a kind and a type may be of one job."""
    return not one or not two or bool({*one} & {*two})


def _matches_with(one: RuleText, two: RuleText, text: str, *, anywhere: bool) -> bool:
    """Whether `one` matches in `text` wherever `two` does: not in a later line, or just `anywhere`."""
    places = [(form, place) for form in conditions_of(two) if (place := _line(form, text)) is not None]
    return bool(places) and all(_matches(one, form.stream, None if anywhere else place, text) for form, place in places)


def _matches(rule: RuleText, stream: str, last: int | None, text: str) -> bool:
    """Whether a rule matches a text in `stream`, in a line not after `last`."""
    forms = [form for form in conditions_of(rule) if form.stream in ("any", stream)]
    lines = [line for form in forms if (line := _line(form, text)) is not None]
    return bool(lines) and (last is None or min(lines) <= last)


@cache
def _line(condition: Condition, text: str) -> int | None:
    """Return the index of the first line of the text in which a `match` or `contains` is fulfilled."""
    if condition.absent is not None or not _may_match(condition, cleaned := plain(text)):
        return None
    lines = cleaned.split("\n")
    windows = ("\n".join(lines[first : first + condition.lines]) for first in range(len(lines)))
    try:
        return next((first for first, window in enumerate(windows) if search(condition, window, TIMEOUT_S)), None)
    except (TimeoutError, regex.error):  # reported by the checks of patterns
        return None


def _may_match(condition: Condition, text: str) -> bool:
    """Whether a text has a literal that the condition requires; true where none is known."""
    known = required_literals(condition)
    if known is None:
        return True
    within = text.lower() if known.folded else text
    return any(literal in within for literal in known.texts)


def _wider(one: Sequence[str], two: Sequence[str]) -> bool:
    return not one or bool(two and set(two) <= set(one))


def _reach(rules: Sequence[RuleText]) -> Explained:
    """Return for each rule all rules that it explains, directly or through others."""
    known = explanations(rules)
    reach: dict[str, frozenset[str]] = {}
    for start in known:
        seen: set[str] = set()
        ahead = [*known[start]]
        while ahead:
            if (rule := ahead.pop()) not in seen:
                seen.add(rule)
                ahead += known.get(rule, ())
        reach[start] = frozenset(seen)
    return reach
