"""`pilotext rules lint | test`: what is wrong in rule files, and whether they judge their examples and cases right."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pilotext.cli.logcases import case_files, run_case
from pilotext.errors import Problem, RuleFilesError
from pilotext.profile import find_rules_root, known_experiments, rules_roots
from pilotext.rules.examples import check_examples
from pilotext.rules.lint import lint, yaml_files
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="lint | test", required=True)
    for name, summary, function in (
        ("lint", "tell every problem of the rule files, with its place and how to mend it", run_lint),
        ("test", "hold the rules against the examples in them and against the cases in fixtures/logs", run_test),
    ):
        verb = verbs.add_parser(name, help=summary, description=summary[:1].upper() + summary[1:] + ".")
        verb.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files or folders (default: all)")
        verb.set_defaults(rules_function=function)


def run(options: argparse.Namespace) -> int:
    """Print one problem a line and a summary; 1 if there are problems, else 0."""
    status: int = options.rules_function(options.paths)
    return status


def run_lint(paths: Sequence[Path]) -> int:
    files = yaml_files(paths or [find_rules_root()])
    return _tell(lint(paths), f"files: {len(files)}")


def run_test(paths: Sequence[Path]) -> int:
    wanted = list(paths) or [find_rules_root(), *_own_cases()]
    cases = case_files(wanted)
    files = yaml_files([path for path in wanted if not case_files([path])])
    try:
        rulesets = _load(files)
    except RuleFilesError as error:
        return _tell(list(error.problems), f"files: {len(files)}")
    problems = {
        problem for ruleset in rulesets.values() for problem in check_examples(ruleset) if problem.file in files
    }
    examples = {rule.place: len(rule.text.examples) for ruleset in rulesets.values() for rule in ruleset.rules}
    count = sum(number for place, number in examples.items() if place.file in files)
    for case in cases:
        problems.update(run_case(case, rulesets))
    return _tell(sorted(problems), f"examples: {count}, cases: {len(cases)}")


def _own_cases() -> list[Path]:
    """The cases of a checkout; an installed package has none."""
    folder = find_rules_root().parent / "fixtures" / "logs"
    return [folder] if folder.is_dir() else []


def _load(files: Sequence[Path]) -> dict[str, RuleSet]:
    """The rules of every experiment, with those in `files` wherever they lie."""
    known = rules_roots()
    further = list(dict.fromkeys(file.parent.parent for file in files if file.parent.parent not in known))
    return {name: load_rules(name, further) for name in known_experiments(further)}


def _tell(problems: Sequence[Problem], what: str) -> int:
    here = Path.cwd()
    for problem in problems:
        file = problem.file.relative_to(here) if problem.file.is_relative_to(here) else problem.file
        print(dataclasses.replace(problem, file=file))
    print(f"{what}, problems: {len(problems)}")
    return 1 if problems else 0
