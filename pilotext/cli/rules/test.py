"""`pilotext rules test`: test rules with their examples, with cases and with lines of good jobs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from pilotext.classify import LogScan
from pilotext.cli.arguments import FilePath, add_rules
from pilotext.cli.rules.log_cases import case_files, own_cases, run_case
from pilotext.cli.rules.problems import print_problems
from pilotext.errors import FileProblem, RuleFilesError, UsageError
from pilotext.profile import find_rules_root, known_experiments, rules_roots
from pilotext.rules.examples import check_examples
from pilotext.rules.lint.runner import yaml_files
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "a rule file, a case, or a folder of them (default: all)"
    parser.add_argument("paths", nargs="*", action=FilePath, metavar="PATH", help=text)
    add_rules(parser)


def run(options: argparse.Namespace) -> int:
    further = rules_roots(options.rules)[1:]
    wanted = options.paths or [find_rules_root(), *further, *own_cases()]
    cases = case_files(wanted)
    files = yaml_files([path for path in wanted if not case_files([path])])
    try:
        rulesets = _load(files, further)
    except RuleFilesError as error:
        return print_problems(list(error.problems), f"files: {len(files)}")
    problems = {
        problem for ruleset in rulesets.values() for problem in check_examples(ruleset) if problem.file in files
    }
    examples = {rule.place: len(rule.text.examples) for ruleset in rulesets.values() for rule in ruleset.rules}
    count = sum(number for place, number in examples.items() if place.file in files)
    if not count and not cases:
        where = ", ".join(map(str, wanted))
        raise UsageError(f"{where}: there is no rule with an example and no case.", advice="Nothing was tested.")
    for case in cases:
        problems.update(run_case(case, rulesets))
    good_lines = [] if options.paths else own_good_lines()
    for ruleset in rulesets.values():
        for path in good_lines:
            problems.update(taken_lines(path, ruleset))
    summary = f"examples: {count}, cases: {len(cases)}"
    if good_lines:
        summary += f", files of good lines: {len(good_lines)}"
    return print_problems(sorted(problems), summary)


def _load(files: Sequence[Path], folders: Sequence[Path]) -> dict[str, RuleSet]:
    """Return the rules of every experiment, with those in `files` wherever they are."""
    known = rules_roots(folders)
    beside = dict.fromkeys(file.parent.parent for file in files if file.parent.parent not in known)
    further = [*folders, *beside]
    return {name: load_rules(name, further) for name in known_experiments(further)}


STREAMS = ("stdout", "stderr")


def own_good_lines() -> list[Path]:
    """Return the files of good lines of a checkout; an installed package has none."""
    return sorted((find_rules_root().parent / "fixtures" / "good_lines").glob("*.txt"))


def taken_lines(path: Path, ruleset: RuleSet) -> Iterator[FileProblem]:
    """Yield each line of the file that a rule takes for a failure, with the rule."""
    job_type_of = {kind: job_type for job_type, kind in reversed([*ruleset.kinds.items()])}
    for kind, job_type in job_type_of.items():
        for stream in STREAMS:
            scan = LogScan(ruleset, kind=kind, job_type=job_type, streams={stream: path})
            for one in scan.finish().rule_matches:
                if one.rule.text.action != "note" and one.rule.text.status == "active":
                    text = f"the rule takes a line of a good {kind} job on {stream} for a failure."
                    place = one.evidence[0].line
                    yield FileProblem(path.resolve(), place, 1, one.rule.id, text, "Narrow its pattern.")
