"""Patches of the repository of rules: the text of a rule, and tried rules as a unified diff."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from pilotext.rules.schema import Rule, RuleSet
from pilotext.serialization.yaml import read_yaml

NEW_FILE = "tried.yaml"


def text_of(rule: Rule, experiment: str) -> str:
    """Return a rule file with only this rule, as it replaces the one of today."""
    file = rule.place.file
    begin, end = _block(file.read_text("utf-8").splitlines(), rule.place.line)
    lines = file.read_text("utf-8").splitlines()[begin:end]
    document = read_yaml(file).data
    fragments = document.get("fragments") if isinstance(document, dict) else None
    head = ["format: 1", f"experiment: {experiment}", *([f"fragments: {json.dumps(fragments)}"] if fragments else [])]
    indent = " " * (len(lines[0]) - len(lines[0].lstrip()) + 2)
    return "\n".join([*head, "", "rules:", lines[0], f"{indent}override: true", *lines[1:]]).rstrip() + "\n"


def patch_of(text: str, mine: Sequence[Rule], today: RuleSet) -> str:
    """Return tried rules as a unified diff of the repository: in the place of those of their id, or as a new file."""
    tried = text.splitlines()
    patches, new = [], False
    for rule in mine:
        known = today.rule(rule.id)
        if known is None or not known.place.file.is_file():
            new = True
            continue
        before = known.place.file.read_text("utf-8").splitlines()
        begin, end = _block(before, known.place.line)
        own_begin, own_end = _block(tried, rule.place.line)
        block = [line for line in tried[own_begin:own_end] if line.strip() != "override: true"]
        after = [*before[:begin], *block, *before[end:]]
        patches.append(_diff(before, after, _name(known.place.file), _name(known.place.file)))
    if new:
        patches.append(_diff([], tried, "/dev/null", f"b/rules/{today.experiment.lower()}/{NEW_FILE}"))
    return "".join(patches)


def _diff(before: Sequence[str], after: Sequence[str], old: str, new: str) -> str:
    a, b = (f"a/{old}", f"b/{new}") if old == new else (old, new)
    return "\n".join(difflib.unified_diff(before, after, a, b, lineterm="")) + "\n"


def _name(file: Path) -> str:
    return f"rules/{file.parent.name}/{file.name}"


def _block(lines: Sequence[str], line: int) -> tuple[int, int]:
    """Return the places of the first line of the list entry around this line, and of the line behind it."""
    begin = line - 1
    while begin > 0 and not lines[begin].lstrip().startswith("- "):
        begin -= 1
    indent = len(lines[begin]) - len(lines[begin].lstrip())
    end = begin + 1
    while end < len(lines):
        text = lines[end]
        if text.strip() and len(text) - len(text.lstrip()) <= indent:
            break
        end += 1
    while end > begin + 1 and not lines[end - 1].strip():
        end -= 1
    return begin, end
