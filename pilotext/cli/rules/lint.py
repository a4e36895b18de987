"""`pilotext rules lint`: what is wrong in rule files."""

from __future__ import annotations

import argparse
from pathlib import Path

from pilotext.cli.output import write_text
from pilotext.cli.rules.show import FORMATS, from_here, tell
from pilotext.profile import find_rules_root, rules_roots
from pilotext.rules.lint import lint, yaml_files
from pilotext.rules.lock import update_lock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files or folders (default: all)")
    parser.add_argument("--rules", type=Path, action="append", default=[], metavar="DIR", help="a further rule folder")
    parser.add_argument("--format", choices=["text", *FORMATS], default="text", help="how problems are told")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument(
        "--update-lock", action="store_true", help="first write new rules and changed meanings to lock.json"
    )


def run(options: argparse.Namespace) -> int:
    paths = options.paths or [find_rules_root(), *rules_roots(options.rules)[1:]]
    if options.update_lock:
        for root in dict.fromkeys(file.parent.parent for file in yaml_files(paths)):
            update_lock(root)
    problems = lint(paths, options.rules)
    if options.format == "text":
        return tell(problems, f"files: {len(yaml_files(paths))}")
    write_text(FORMATS[options.format](from_here(problems)))
    return 1 if problems else 0
