"""Ids, names and codes of rules: each once, and in its block."""

from __future__ import annotations

from collections.abc import Iterator

from pilotext.errors import FileProblem
from pilotext.model.codes import BLOCKS
from pilotext.rules.lint.group import Check, Group, place_of
from pilotext.rules.schema import CounterText, RuleText
from pilotext.rules.source import Entry

PLACEHOLDER = "TODO"
"""Begin of every text of a draft that its author must replace."""

OVERRIDE = "Choose another; or, in a folder of your own, write `override: true` to take that rule's place."


def repeated_names(group: Group) -> Iterator[FileProblem]:
    """Yield rules with the same id, and counters with the same name."""
    first: dict[str, Entry[RuleText]] = {}
    for entry in group.rules:
        other = first.setdefault(entry.text.id, entry)
        if other is not entry:
            yield entry.problem("id", f"this id is taken: {place_of(other)}.", OVERRIDE)
    counted: dict[str, Entry[CounterText]] = {}
    for counter in group.counters:
        known = counted.setdefault(counter.text.name, counter)
        if known is not counter:
            yield counter.problem("name", f"this name is taken: {place_of(known)}.", "Choose another.")


def repeated_codes(group: Group) -> Iterator[FileProblem]:
    first: dict[int, Entry[RuleText]] = {}
    for entry in group.rules:
        other = first.setdefault(entry.text.code, entry)
        if other is not entry:
            advice = "Choose one that no rule has, retired rules included."
            yield entry.problem("code", f"code {entry.text.code} is taken: {other.text.id}, {place_of(other)}.", advice)


def codes_outside_their_block(group: Group) -> Iterator[FileProblem]:
    for entry in group.rules:
        stem = entry.document.path.stem
        name = "experiment" if entry.experiment else stem if stem in BLOCKS else "common"
        blocks = group.codes if entry.experiment else (BLOCKS[name],)
        if not any(entry.text.code in block for block in blocks) and not entry.text.override:
            advice = f"Choose one from {', '.join(f'{block.start} to {block.stop - 1}' for block in blocks)}."
            yield entry.problem("code", f"code {entry.text.code} is not in the block of {name} rules.", advice)


def unedited_drafts(group: Group) -> Iterator[FileProblem]:
    """Yield the fields of a draft that nobody has filled in."""
    for entry in group.rules:
        examples = {f"examples[{index}].no-match": one.no_match for index, one in enumerate(entry.text.examples)}
        text = entry.text
        fields = {"id": text.id, "title": text.title, "remedy": text.remedy, "owner": text.owner, **examples}
        for field, value in fields.items():
            if value is not None and value.casefold().startswith(PLACEHOLDER.casefold()):
                yield entry.problem(field, "this is still as `rules draft` wrote it.", f"Replace `{value}`.")


IDENTITY_CHECKS: tuple[Check, ...] = (repeated_names, repeated_codes, codes_outside_their_block, unedited_drafts)
