"""The command `pilotext`: finds the verb, and is the one place where errors become words and exit statuses."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from pilotext import __version__
from pilotext.cli.output import hidden, open_standard_streams, say
from pilotext.errors import PilotextError, RuleFilesError, UsageError
from pilotext.kinship import forbid_inspection
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line
from pilotext.worker.stop import release

VERBS = {
    "run": ("pilotext.cli.run", "run one job, from stage-in to report"),
    "classify": ("pilotext.cli.classify", "judge the logs of a program that has ended"),
    "outputs": ("pilotext.cli.outputs", "publish outputs that are kept on this node, as their storage was away"),
    "report": ("pilotext.cli.report", "send reports that wait for their server, or print the schema of one"),
    "rules": ("pilotext.cli.rules", "check and test the rule files"),
    "submit": ("pilotext.cli.submit", "give a task to the production server"),
    "tasks": ("pilotext.cli.tasks", "list tasks, wait for them, start, pause, cancel, resume or change them"),
    "jobs": (
        "pilotext.cli.jobs",
        "list and show jobs and what needs a decision; resend, accept, fail, cancel, rejudge",
    ),
    "runs": ("pilotext.cli.runs", "list the runs of a task and what became of their merges, decide on merged runs"),
    "errors": ("pilotext.cli.errors", "count failures by code, cause, site, task or day"),
    "signatures": ("pilotext.cli.signatures", "list the failures that no rule knows"),
    "sites": ("pilotext.cli.sites", "list sites and breakers, close, open, limit or hold them"),
    "agents": ("pilotext.cli.agents", "list the agents and whether they are heard of, drain them"),
    "tokens": ("pilotext.cli.tokens", "list, make or revoke the tokens of people and agents"),
    "users": ("pilotext.cli.users", "list who has an account"),
    "agent": ("pilotext.cli.agent", "pull jobs from the server and run them here"),
    "server": ("pilotext.cli.server", "run the production server"),
}
"""Verb → its module, imported only when it is asked for: starting a job must stay cheap."""


LISTENING = ("run", "outputs")
"""Verbs that take signals to stop themselves; for all others they mean what they mean for any program."""


class _Parser(argparse.ArgumentParser):
    """argparse, but with our exit status for wrong words: the pilot gives 2 a meaning of its own."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: error: {one_line(message)}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    forbid_inspection()  # verbs hold tokens, and programs of the same user run beside them
    open_standard_streams()
    try:
        return _run(words)
    except PilotextError as error:
        say(f"pilotext: error: {_sentences(error)}", stream=2)
        return Exit.USAGE if isinstance(error, UsageError) else Exit.INTERNAL
    except KeyboardInterrupt:
        say("pilotext: interrupted", stream=2)
        return Exit.STOPPED
    except BrokenPipeError:
        # Whoever read our output has gone; say nothing more, and let Python not try either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.STOPPED
    except Exception as error:  # noqa: BLE001  the boundary
        say(f"pilotext: error: this is a bug in pilotext: {type(error).__name__}: {one_line(str(error))}", stream=2)
        say(f"pilotext: please report it with the file {_crash_file(words)}", stream=2)
        return Exit.INTERNAL


def _run(words: list[str]) -> int:
    parser = _Parser(prog="pilotext", description="Payload wrapper and error classifier for grid productions.")
    parser.add_argument("--version", action="version", version=f"pilotext {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    wanted = next((word for word in words if not word.startswith("-")), None)
    for verb, (module_name, summary) in VERBS.items():
        own = verbs.add_parser(verb, help=summary, description=summary[:1].upper() + summary[1:] + ".")
        if verb == wanted:
            module = importlib.import_module(module_name)
            module.add_arguments(own)
            own.set_defaults(function=module.run)
    options = parser.parse_args(words)
    if options.verb is None:
        parser.print_help()
        return Exit.USAGE
    if options.verb not in LISTENING:
        release()
    status: int = options.function(options)
    return status


def _sentences(error: PilotextError) -> str:
    """An error as one line; of wrong rule files, a line for each problem."""
    if isinstance(error, RuleFilesError):
        return "\n".join(one_line(str(problem)) for problem in error.problems)
    return one_line(str(error))


def _crash_file(words: list[str]) -> Path:
    """Everything that a report of the bug needs, in a file that can be pasted into it."""
    with tempfile.NamedTemporaryFile("w", prefix="pilotext-crash-", suffix=".txt", delete=False) as file:
        file.write(f"pilotext {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        file.write(f"verb: {words[0] if words else ''}\n\n{hidden(traceback.format_exc())}")
    return Path(file.name)
