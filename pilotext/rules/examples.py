"""Check of the examples in rules against the rules themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pilotext.errors import FileProblem
from pilotext.rules.conditions import Condition
from pilotext.rules.near_miss import near_miss
from pilotext.rules.patterns import Found, plain, search
from pilotext.rules.schema import Example, Rule, RuleSet

TIMEOUT_S = 1.0


def check_examples(ruleset: RuleSet) -> list[FileProblem]:
    """Return a problem for each wrong example and for each condition without an example, by position.

    A `match` text of an `absent` rule is a log without the marker.
    """
    return sorted(problem for rule in ruleset.rules for problem in _of_rule_in_time(rule))


def fulfilled(condition: Condition, text: str) -> Found | None:
    """Return the match of a text condition in a text read like a log, line by line or in windows of `lines`."""
    lines = plain(text).split("\n")
    windows = ("\n".join(lines[first : first + condition.lines]) for first in range(len(lines)))
    found = next((found for window in windows if (found := search(condition, window, TIMEOUT_S))), None)
    if condition.absent is None:
        return found
    return None if found else Found({}, 0, 0)


def _of_rule_in_time(rule: Rule) -> list[FileProblem]:
    try:
        return list(_of_rule(rule))
    except TimeoutError:
        message = f"a pattern needs longer than {TIMEOUT_S:g} s for an example."
        return [_problem(rule, message, "Write it without repeats inside repeats.")]


def _of_rule(rule: Rule) -> Iterator[FileProblem]:
    forms = [condition for condition in rule.conditions if condition.match or condition.contains or condition.absent]
    shown: set[int] = set()
    for number, example in enumerate(rule.text.examples, 1):
        found = {index: hit for index, form in enumerate(forms) if (hit := fulfilled(form, _text_of(example)))}
        if example.match is not None:
            shown.update(found)
        if message := _wrong(example, list(found.values())):
            advice = _nearest(forms, example.match) if example.match is not None and not found else ""
            yield _problem(rule, f"example {number}: {message}", advice)
    for index, form in enumerate(forms):
        if form.absent is None and index not in shown and rule.text.examples:
            yield _problem(rule, f"no example shows `{form.match or form.contains}`.", "Add a `match` example for it.")


def _wrong(example: Example, found: list[Found]) -> str:
    """Return the error of an example for which the conditions of its rule gave `found`; empty if there is none."""
    text = _text_of(example)
    if (example.match is None) == (example.no_match is None):
        return "it must say either `match` or `no-match`."
    if example.no_match is not None:
        return f"the rule matches {text!r} and must not." if found else ""
    if not found:
        return f"the rule does not match {text!r}."
    if any(example.fields.items() <= hit.fields.items() for hit in found):
        return ""
    return f"the fields of {text!r} are {found[0].fields}, not {example.fields}."


def _nearest(forms: Sequence[Condition], text: str) -> str:
    """Return what fails in the line that comes nearest to one of these conditions, as `explain` says it."""
    lines = plain(text).split("\n")
    wanted = [form for form in forms if form.absent is None]
    near = [(form, one) for form in wanted if (one := near_miss(form, enumerate(lines, 1)))]
    if not wanted:
        return next((f"It contains `{form.absent}`, which must be absent." for form in forms), "")
    if not near:
        return f"No line comes near `{wanted[0].match or wanted[0].contains}`."
    form, best = max(near, key=lambda pair: (bool(pair[1].hint), len(pair[1].fulfilled), -len(pair[1].missing)))
    where = f"line {best.line}" if len(lines) > 1 else "the line"
    return f"Nearest is {where} to `{form.match or form.contains}`: {best.clause}."


def _text_of(example: Example) -> str:
    return example.match or example.no_match or ""


def _problem(rule: Rule, message: str, advice: str = "") -> FileProblem:
    place = rule.place
    return FileProblem(place.file, place.line, place.column, rule.id, message, advice)
