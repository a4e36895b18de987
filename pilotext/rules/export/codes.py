"""Table of all codes of an experiment, for people and for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from pilotext.rules.schema import Rule, RuleSet

COLUMNS = ("code", "number", "id", "title", "cause", "action", "status", "remedy", "owner", "since")
PAGE_COLUMNS = ("code", "number", "id", "title", "cause", "action", "remedy")

REGENERATE = "bin/pilotext rules export --codes --experiment {} --format markdown --output docs/codes.md"


def code_rows(ruleset: RuleSet) -> list[dict[str, str | int]]:
    """Return one row a rule, retired ones included, sorted by number."""
    return [_row(rule) for rule in sorted(ruleset.rules, key=lambda rule: rule.code.number)]


def as_json(ruleset: RuleSet) -> str:
    return json.dumps(code_rows(ruleset), indent=2, ensure_ascii=False) + "\n"


def as_csv(ruleset: RuleSet) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(code_rows(ruleset))
    return text.getvalue()


def as_markdown(ruleset: RuleSet) -> str:
    lines = [
        f"# Codes of {ruleset.experiment}",
        "",
        f"Made from the rules by `{REGENERATE.format(ruleset.experiment)}`; change the rules, not this page.",
        "A code never changes its meaning. A note marks a text that is known to be benign.",
        "",
        "| " + " | ".join(PAGE_COLUMNS) + " |",
        "| " + " | ".join("---" for _ in PAGE_COLUMNS) + " |",
    ]
    for row in code_rows(ruleset):
        cells = [_cell(row[name]) for name in PAGE_COLUMNS]
        lines.append("| " + " | ".join(cells) + (" (retired) |" if row["status"] == "retired" else " |"))
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[RuleSet], str]] = {"json": as_json, "csv": as_csv, "markdown": as_markdown}


def _row(rule: Rule) -> dict[str, str | int]:
    known: dict[str, str | int] = {"code": rule.code.label, "number": rule.code.number}
    return known | {name: getattr(rule.text, name) for name in COLUMNS[2:]}


def _cell(value: str | int) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
