"""`pilotext rules compile`: put the compiled form of the rules beside them, for runs that start sooner."""

from __future__ import annotations

import argparse

from pilotext.cli.output import say
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.profile import known_experiments
from pilotext.rules.loader import compile_rules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="whose rules (default: all)")


def run(options: argparse.Namespace) -> int:
    """Compile; it is for whoever installs pilotext, and does not count when others can write it."""
    for name in options.experiments or known_experiments():
        try:
            say(str(compile_rules(name)))
        except OSError as error:
            advice = "Whoever owns the installation can."
            raise UsageError(f"{name}: its rules cannot be compiled: {error}.", advice=advice) from None
    return Exit.SUCCESS
