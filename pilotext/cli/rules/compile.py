"""`pilotext rules compile`: store the compiled rules beside the rule files, so that jobs start faster."""

from __future__ import annotations

import argparse

from pilotext.cli.output import say
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.profile import known_experiments
from pilotext.rules.loader import compile_rules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="the experiments whose rules are compiled (default: all)"
    )


def run(options: argparse.Namespace) -> int:
    """Compile the rules; a job ignores compiled rules that other users can write."""
    for name in options.experiments or known_experiments():
        try:
            say(str(compile_rules(name)))
        except OSError as error:
            advice = "Run this as the owner of the installation."
            raise UsageError(f"{name}: the compiled rules cannot be written: {error}.", advice=advice) from None
    return Exit.SUCCESS
