"""`pilotext rules lint`: report the problems of rule files."""

from __future__ import annotations

import argparse

from pilotext.cli.arguments import FilePath, add_rules
from pilotext.cli.output import write_text
from pilotext.cli.rules.problems import FORMATS, print_problems
from pilotext.profile import find_rules_root, rules_roots
from pilotext.rules.lint.runner import lint, yaml_files
from pilotext.rules.lock import update_lock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "a rule file, or a folder of them (default: all)"
    parser.add_argument("paths", nargs="*", action=FilePath, metavar="PATH", help=text)
    add_rules(parser)
    parser.add_argument(
        "--format", choices=["text", *FORMATS], default="text", help="the format of the problems (default: text)"
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument(
        "--update-lock", action="store_true", help="first add new rules and changed meanings to lock.json"
    )


def run(options: argparse.Namespace) -> int:
    paths = options.paths or [find_rules_root(), *rules_roots(options.rules)[1:]]
    if options.update_lock:
        for root in dict.fromkeys(file.parent.parent for file in yaml_files(paths)):
            update_lock(root)
    problems = lint(paths, options.rules)
    if options.format == "text":
        return print_problems(problems, f"files: {len(yaml_files(paths))}")
    write_text(FORMATS[options.format](problems))
    return 1 if problems else 0
