"""Graph of the relation "explains" between rules, for people: as text for Mermaid and for Graphviz."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pilotext.errors import UsageError, did_you_mean
from pilotext.rules.schema import RuleSet

Edge = tuple[str, str]


def edges(ruleset: RuleSet, about: Sequence[str] = ()) -> list[Edge]:
    """Return (cause, consequence) for all rules, or for those that these rules explain or are explained by."""
    known = {rule.id for rule in ruleset.rules}
    for name in about:
        if name not in known:
            raise UsageError(f"there is no rule {name!r}.", advice=did_you_mean(name, known))
    whole = [(rule.id, effect) for rule in ruleset.rules for effect in rule.text.explains if effect in known]
    if not about:
        return whole
    below, above = _reached({*about}, whole), _reached({*about}, [(effect, cause) for cause, effect in whole])
    return [(cause, effect) for cause, effect in whole if {cause, effect} <= below or {cause, effect} <= above]


def _reached(start: set[str], whole: Sequence[Edge]) -> set[str]:
    seen = {*start}
    while more := {effect for cause, effect in whole if cause in seen} - seen:
        seen |= more
    return seen


def mermaid(ruleset: RuleSet, about: Sequence[str] = ()) -> str:
    """Return a flowchart of Mermaid, as GitHub and GitLab draw it."""
    lines = ["flowchart LR", *(f"    {cause} --> {effect}" for cause, effect in edges(ruleset, about))]
    return "\n".join(lines) + "\n"


def dot(ruleset: RuleSet, about: Sequence[str] = ()) -> str:
    """Return a directed graph of Graphviz."""
    lines = [f'    "{cause}" -> "{effect}";' for cause, effect in edges(ruleset, about)]
    return "\n".join(["digraph rules {", "    rankdir=LR;", *lines, "}"]) + "\n"


FORMATS: dict[str, Callable[[RuleSet, Sequence[str]], str]] = {"mermaid": mermaid, "dot": dot}
