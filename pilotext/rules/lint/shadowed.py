"""Rules that can never be elected, because another one always wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import regex

from pilotext.errors import FileProblem
from pilotext.rules.conditions import Condition
from pilotext.rules.examples import TIMEOUT_S
from pilotext.rules.explanations import explanations
from pilotext.rules.lint.group import Group
from pilotext.rules.literals import RequiredLiterals, literal_length, required_literals
from pilotext.rules.patterns import plain, search
from pilotext.rules.schema import RuleText, conditions_of
from pilotext.rules.source import Entry

Explained = Mapping[str, frozenset[str]]

ADVICE = "Add `explains: [{0}]` to it, or narrow {0}; if it is a consequence, narrow this rule."


class _Rival:
    """Rule that can be elected, with the places where its conditions match in a text, each looked up once."""

    def __init__(self, entry: Entry[RuleText]) -> None:
        self.entry = entry
        self.rule = entry.text
        self.conditions = conditions_of(entry.text)
        self._literals = [required_literals(condition) for condition in self.conditions]
        self._places: dict[str, list[tuple[Condition, int]]] = {}

    @property
    def examples(self) -> list[str]:
        """The texts that the rule must match."""
        return [example.match for example in self.rule.examples if example.match is not None]

    def places(self, text: _Text) -> list[tuple[Condition, int]]:
        """Return the conditions that match in a text, each with the index of its first line."""
        found = self._places.get(text.written)
        if found is None:
            tried = zip(self.conditions, self._literals, strict=True)
            lines = ((condition, text.line(condition)) for condition, known in tried if text.may_match(known))
            found = self._places[text.written] = [(condition, line) for condition, line in lines if line is not None]
        return found

    def specificity(self, text: _Text) -> tuple[int, int]:
        """Return what decides between rules in one line: the longest text that a matching form requires; the scope."""
        lengths = (literal_length(condition) for condition, _ in self.places(text))
        return max(lengths, default=0), self.rule.narrowness


class _Text:
    """Text of an example as rules read it."""

    def __init__(self, written: str) -> None:
        self.written = written
        self._cleaned = plain(written)
        self._folded = self._cleaned.lower()
        self._lines = self._cleaned.split("\n")

    def may_match(self, known: RequiredLiterals | None) -> bool:
        """Whether the text has one of the literals that a condition requires; true where none is known."""
        if known is None:
            return True
        within = self._folded if known.folded else self._cleaned
        return any(literal in within for literal in known.texts)

    def line(self, condition: Condition) -> int | None:
        """Return the index of the first line in which a `match` or `contains` is fulfilled."""
        if condition.absent is not None:
            return None
        windows = ("\n".join(self._lines[first : first + condition.lines]) for first in range(len(self._lines)))
        try:
            return next((first for first, window in enumerate(windows) if search(condition, window, TIMEOUT_S)), None)
        except (TimeoutError, regex.error):  # reported by the checks of patterns
            return None


def shadowed_rules(group: Group) -> Iterator[FileProblem]:
    """Yield rules that lose to one other rule on every example of their own, in every stream and job."""
    rivals = _rivals(group)
    reach = _reach([entry.text for entry in group.rules])
    for rival in rivals:
        # A common rule may lose to one of this experiment; it serves the others too.
        if (rival.entry.experiment is None) != (group.experiment is None) or not _texts_only(rival):
            continue
        shown = [_Text(text) for text in rival.examples]
        better = (other for other in rivals if other is not rival and _always_before(other, rival, reach, shown))
        if shown and (other := next(better, None)):
            message = f"the rule can never win: {other.rule.id} is elected on each of its examples."
            yield rival.entry.problem("id", message, ADVICE.format(other.rule.id))


def _rivals(group: Group) -> list[_Rival]:
    """Return the rules that can be elected."""
    return [_Rival(entry) for entry in group.rules if entry.text.status == "active" and entry.text.action != "note"]


def _texts_only(rival: _Rival) -> bool:
    return all(condition.match or condition.contains for condition in rival.conditions)


def _always_before(one: _Rival, two: _Rival, reach: Explained, shown: Sequence[_Text]) -> bool:
    if one.rule.id == two.rule.id or one.rule.id in reach[two.rule.id] or not _wider(one.rule.jobs, two.rule.jobs):
        return False
    explained = two.rule.id in reach[one.rule.id]
    if not explained and not all(_more_specific(one, two, text) for text in shown):
        return False
    return all(_matches_with(one, two, text, anywhere=explained) for text in shown)


def _more_specific(one: _Rival, two: _Rival, text: _Text) -> bool:
    """Whether the election takes `one` where both match a text in one line."""
    return one.specificity(text) > two.specificity(text)


def tied_rules(group: Group) -> Iterator[FileProblem]:
    """Yield rules that match an example of another one in the same line just as specifically: no reason decides."""
    rivals = _rivals(group)
    reach = _reach([entry.text for entry in group.rules])
    for rival in rivals:
        if (rival.entry.experiment is None) != (group.experiment is None):
            continue
        for text in map(_Text, rival.examples):
            for other in rivals:
                if _is_tie(rival, other, text, reach):
                    message = f"{other.rule.id} matches the example {text.written[:60]!r} just as well."
                    advice = f"Say which one is the reason by `explains`, or narrow {other.rule.id}."
                    yield rival.entry.problem("examples", message, advice)


def _is_tie(rival: _Rival, other: _Rival, text: _Text, reach: Explained) -> bool:
    one, two = rival.rule, other.rule
    if one.id == two.id or one.id in reach[two.id] or two.id in reach[one.id]:
        return False
    if (rival.entry.experiment is None) != (other.entry.experiment is None) or not _may_meet(one.jobs, two.jobs):
        return False
    return _same_line(rival, other, text) and rival.specificity(text) == other.specificity(text)


def _same_line(one: _Rival, two: _Rival, text: _Text) -> bool:
    """Whether forms of both rules match a text in one line of one stream."""
    return any(
        line == other_line and (form.stream == other.stream or "any" in (form.stream, other.stream))
        for other, other_line in two.places(text)
        for form, line in one.places(text)
    )


def _may_meet(one: Sequence[str], two: Sequence[str]) -> bool:
    """Whether a job can be within both scopes; a kind and a type may be of one job."""
    return not one or not two or bool({*one} & {*two})


def _matches_with(one: _Rival, two: _Rival, text: _Text, *, anywhere: bool) -> bool:
    """Whether `one` matches in `text` wherever `two` does: not in a later line, or just `anywhere`."""
    places = two.places(text)
    return bool(places) and all(_matches(one, form.stream, None if anywhere else place, text) for form, place in places)


def _matches(rival: _Rival, stream: str, last: int | None, text: _Text) -> bool:
    """Whether a rule matches a text in `stream`, in a line not after `last`."""
    lines = [line for form, line in rival.places(text) if form.stream in ("any", stream)]
    return bool(lines) and (last is None or min(lines) <= last)


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
