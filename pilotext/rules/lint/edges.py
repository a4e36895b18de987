"""Edges between rules (`explains`, `consequence-of`) that have no effect on any election."""

from __future__ import annotations

from collections.abc import Iterator

import regex

from pilotext.errors import FileProblem
from pilotext.rules.examples import fulfilled
from pilotext.rules.explanations import ANY, members
from pilotext.rules.lint.group import Group
from pilotext.rules.schema import RuleText, conditions_of
from pilotext.rules.source import Entry


def edges_without_effect(group: Group) -> Iterator[FileProblem]:
    """Yield edges from or to a rule that is never elected, and edges that are given twice."""
    texts = {entry.text.id: entry.text for entry in group.rules}
    for entry in group.rules:
        if entry.experiment != group.experiment:
            continue
        own = entry.text
        for field, names in (("explains", own.explains), ("consequence-of", own.consequence_of)):
            for name in names:
                if name == ANY or (other := texts.get(name)) is None:
                    continue
                cause, effect = (own, other) if field == "explains" else (other, own)
                if wrong := _wrong(cause, effect):
                    yield entry.problem(field, *wrong)
        yield from _given_twice(entry, texts)


def _wrong(cause: RuleText, effect: RuleText) -> tuple[str, str] | None:
    """Return the problem and the remedy of one edge; None if it has an effect."""
    if cause.action == "note" and not _meet(cause, effect):
        advice = f"Add an example of {cause.id} that {effect.id} matches too, or remove the edge."
        return (
            f"{cause.id} is a note, which explains in its own lines only; {effect.id} matches in none of them.",
            advice,
        )
    if effect.action == "note":
        return f"{effect.id} is a note, which is never elected: nothing has to explain it.", "Remove it."
    for rule in (cause, effect):
        if rule.status == "retired":
            return f"{rule.id} is retired, so this has no effect.", "Remove it."
    return None


def _meet(note: RuleText, other: RuleText) -> bool:
    """Whether the other rule matches in an example of the note."""
    forms = [form for form in conditions_of(other) if form.match or form.contains]
    texts = [example.match for example in note.examples if example.match is not None]
    try:
        return any(fulfilled(form, text) for form in forms for text in texts)
    except (TimeoutError, regex.error):  # reported by the checks of patterns
        return True


def _given_twice(entry: Entry[RuleText], texts: dict[str, RuleText]) -> Iterator[FileProblem]:
    own = entry.text
    for name in own.explains:
        if own.explains.count(name) > 1 or name in members(own):
            yield entry.problem("explains", f"the rule explains {name} already.", "Remove it here.")
        elif (other := texts.get(name)) is not None and own.id in other.consequence_of:
            yield entry.problem("explains", f"{name} says the same by `consequence-of`.", "Remove one of the two.")
