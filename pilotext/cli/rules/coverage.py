"""`pilotext rules coverage`: list the rules that are exercised by no case, or by nothing."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pilotext.cli.arguments import FolderPath, add_rules
from pilotext.cli.output import say, write_json, write_text
from pilotext.cli.rules.log_cases import LogCase, case_files, judge_case, own_cases, rules_for
from pilotext.cli.tables import print_table
from pilotext.errors import FieldError, RuleFilesError, UsageError
from pilotext.model.verdict import Verdict
from pilotext.profile import known_experiments
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule, RuleSet
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import read_yaml

ELECTED, SEEN, EXAMPLE, NOTHING = "elected in a case", "seen in a case", "an example", "nothing"

COMMON = "COMMON"
"""Stands for an experiment in the codes of rules of every experiment; no experiment has this name."""


@dataclass(frozen=True)
class Covered:
    """Rule with the strongest thing that exercises it."""

    rule: str
    code: str
    file: str
    line: int
    by: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "a folder of cases (default: fixtures/logs)"
    parser.add_argument("cases", nargs="*", action=FolderPath, metavar="CASES", help=text)
    add_rules(parser)
    text = "exit with status 1 if cases and examples exercise fewer rules"
    parser.add_argument("--at-least", type=float, default=0, metavar="PERCENT", help=text)
    text = "exit with status 1 if cases alone exercise fewer rules"
    parser.add_argument("--by-cases", type=float, default=0, metavar="PERCENT", help=text)
    parser.add_argument("--json", action="store_true", help="print every active rule in one JSON document")


def run(options: argparse.Namespace) -> int:
    rulesets = {name: load_rules(name, options.rules) for name in known_experiments(options.rules)}
    cases = case_files(options.cases or own_cases())
    covered = coverage(rulesets, cases)
    by_cases, by_any = (share(covered, kinds) for kinds in ((ELECTED, SEEN), (ELECTED, SEEN, EXAMPLE)))
    if options.json:
        write_json(json.dumps({"rules": [vars(one) for one in covered]}, indent=2).encode())
    else:
        _show(covered)
        write_text(
            f"rules: {len(covered)}, cases: {len(cases)}, by cases: {_percent(by_cases)}, by any: {_percent(by_any)}\n"
        )
    too_few = _too_few("cases", by_cases, options.by_cases) + _too_few("cases and examples", by_any, options.at_least)
    for line in too_few:
        say(f"pilotext: {line}", stream=2)
    return int(bool(too_few))


def coverage(rulesets: Mapping[str, RuleSet], cases: Sequence[Path]) -> list[Covered]:
    """Return every active rule with what exercises it, the least exercised first."""
    verdicts = [_verdict(case, rulesets) for case in cases]
    elected = {verdict.rule for verdict in verdicts}
    seen = {match.rule for verdict in verdicts for match in verdict.also}
    rules = {rule.place: rule for ruleset in rulesets.values() for rule in ruleset.rules}  # common rules once
    active = [rule for rule in rules.values() if rule.text.status == "active"]
    order = [NOTHING, EXAMPLE, SEEN, ELECTED]
    covered = [_covered(rule, elected, seen) for rule in active]
    return sorted(covered, key=lambda one: (order.index(one.by), one.file, one.line))


def share(covered: Sequence[Covered], kinds: Sequence[str]) -> float:
    """Return the percentage of the rules that are exercised by one of these kinds."""
    return 100 * sum(one.by in kinds for one in covered) / max(1, len(covered))


def _percent(value: float) -> str:
    """Return a percentage, rounded down: 76.995 must not read as the 77.0 that it does not reach."""
    return f"{math.floor(value * 100) / 100:.2f} %"


def _too_few(kinds: str, reached: float, wanted: float) -> list[str]:
    if reached >= wanted:
        return []
    return [
        f"{kinds} exercise {_percent(reached)} of the rules, {wanted:g} % are required; add cases for the rules listed"
    ]


def _covered(rule: Rule, elected: set[str | None], seen: set[str]) -> Covered:
    shown = any(example.match is not None for example in rule.text.examples)
    by = ELECTED if rule.id in elected else SEEN if rule.id in seen else EXAMPLE if shown else NOTHING
    code = f"{COMMON}-{rule.code.digits}" if rule.common else rule.code.label
    return Covered(rule.id, code, str(rule.place.file), rule.place.line, by)


def _verdict(path: Path, rulesets: Mapping[str, RuleSet]) -> Verdict:
    document = read_yaml(path)
    if document.problems:
        raise RuleFilesError(document.problems)
    try:
        case = from_plain(document.data, LogCase)
    except FieldError as error:
        raise RuleFilesError([document.field_problem((), error)]) from None
    try:
        ruleset = rules_for(case, rulesets)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", advice=error.advice) from None
    return judge_case(path.parent, case, ruleset)


def _show(covered: Sequence[Covered]) -> None:
    rows = [
        (one.rule, one.code, f"{Path(one.file).name}:{one.line}", one.by)
        for one in covered
        if one.by in (NOTHING, EXAMPLE)
    ]
    if rows:
        write_text("Rules that no case exercises:\n")
        print_table(("rule", "code", "where", "exercised by"), rows)
