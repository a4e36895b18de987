"""Asking before a decision on many: shows what it will do, and goes on only by a yes."""

from __future__ import annotations

import argparse
import sys

from pilotext.cli.output import say
from pilotext.cli.tables import write_json
from pilotext.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="decide on many without being asked, for scripts")


def confirm(preview: str, document: object, question: str, options: argparse.Namespace) -> None:
    """Show a preview, and ask on a terminal.

    Raises UsageError where the answer is no, and where there is nobody to ask and `--yes` was not given.
    """
    asking = sys.stdin.isatty()
    if options.yes:
        if not options.json:
            say(preview)
        return
    if options.json and not asking:
        write_json(document)
    else:
        say(preview, stream=2 if options.json else 1)
    if not asking:
        raise UsageError(f"{question} Nothing was done.", advice="Give --yes to do it.")
    say(f"{question} [y/N]", stream=2)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done.")
