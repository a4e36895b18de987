"""The command `pilotext`: its list of commands, and the only place where errors become messages and exit statuses."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from pilotext import __version__
from pilotext.cli.output import hidden, open_standard_streams, say
from pilotext.cli.parser import Command, parse
from pilotext.errors import PilotextError, RuleFilesError, UsageError
from pilotext.model.codes import Exit
from pilotext.process_lifetime import forbid_inspection
from pilotext.sanitize import one_line
from pilotext.worker.stop_signals import release

COMMANDS = {
    "run": Command("pilotext.cli.run", "run one job, from stage-in to report"),
    "classify": Command("pilotext.cli.classify", "classify the logs of a program that has ended"),
    "outputs": Command(
        "pilotext.cli.outputs", "publish outputs that are kept on this node until their storage answers"
    ),
    "report": Command("pilotext.cli.report", "send reports that wait for their server, or print the schema of one"),
    "rules": Command("pilotext.cli.rules", "check, test and explain rules, and export them"),
    "profile": Command("pilotext.cli.profile", "check and show profiles of experiments, and begin a new one"),
    "submit": Command("pilotext.cli.submit", "submit a task to the server, or show what it would do"),
    "tasks": Command("pilotext.cli.tasks", "list and show tasks, wait for one, and decide on them"),
    "jobs": Command("pilotext.cli.jobs", "list and show jobs, and decide on them"),
    "runs": Command("pilotext.cli.runs", "list and show the runs of a task, and decide on their merged products"),
    "compare": Command("pilotext.cli.compare", "compare the results of two tasks, run by run, or two ROOT files"),
    "errors": Command("pilotext.cli.errors", "count failures by code, cause, site, task or day"),
    "signatures": Command("pilotext.cli.signatures", "list the failures that no rule knows"),
    "sites": Command("pilotext.cli.sites", "list sites and breakers, and decide on them"),
    "agents": Command("pilotext.cli.agents", "list agents, and drain them"),
    "tokens": Command("pilotext.cli.tokens", "list, make and revoke tokens of people and agents"),
    "users": Command("pilotext.cli.users", "list the accounts for the pages"),
    "agent": Command("pilotext.cli.agent", "pull jobs from the server and run them on this node"),
    "factory": Command("pilotext.cli.factory", "keep agents or pilots queued on batch systems"),
    "server": Command(
        "pilotext.cli.server", "run the server, and manage its database, tokens and users at the console"
    ),
    "completion": Command("pilotext.cli.completion", "print the completion script of a shell"),
}

STOPPABLE = ("run", "outputs")
"""Commands that take signals to stop themselves; for all others they have their usual effect."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    forbid_inspection()  # commands hold tokens, and programs of the same user run beside them
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
        # The reader of our output has closed it: write nothing more, and keep Python from it too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.STOPPED
    except Exception as error:  # noqa: BLE001  the boundary
        say(f"pilotext: error: this is a bug in pilotext: {type(error).__name__}: {one_line(str(error))}", stream=2)
        say(f"pilotext: please report it with the file {_crash_file(words)}", stream=2)
        return Exit.INTERNAL


def _run(words: list[str]) -> int:
    options = parse(COMMANDS, words)
    if options.command is not None and options.command not in STOPPABLE:
        release()
    status: int = options.function(options)
    return status


def _sentences(error: PilotextError) -> str:
    """Return an error as one line; for wrong rule files, a line for each problem."""
    if isinstance(error, RuleFilesError):
        return "\n".join(one_line(str(problem)) for problem in error.problems)
    return one_line(str(error))


def _crash_file(words: list[str]) -> Path:
    """Write everything that a report of the bug needs to a file that can be pasted into it."""
    with tempfile.NamedTemporaryFile("w", prefix="pilotext-crash-", suffix=".txt", delete=False) as file:
        file.write(f"pilotext {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        file.write(f"command: {words[0] if words else ''}\n\n{hidden(traceback.format_exc())}")
    return Path(file.name)
