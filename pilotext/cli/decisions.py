"""Options of decisions, and the confirmation of a decision on many."""

from __future__ import annotations

import argparse
import sys

from pilotext.cli.output import say
from pilotext.cli.tables import write_json
from pilotext.errors import UsageError

CONFLICT = 409
"""The HTTP status of a decision that the state of its object does not allow."""


def add_reason(parser: argparse.ArgumentParser, *, required: bool = True, default: str | None = None) -> None:
    """Add `--why`, which a decision needs unless there is a default."""
    text = "the reason, which the audit trail keeps" + (f" (default: {default})" if default else "")
    needed = required and default is None
    parser.add_argument("--why", required=needed, default=default, type=_reason, metavar="REASON", help=text)


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add `--yes`, for decisions on many."""
    parser.add_argument("--yes", action="store_true", help="decide on many without a question, for scripts")


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


def _reason(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a decision needs a reason")
    return text
