"""`pilotext tasks`: what the server has, and what it shall do."""

from __future__ import annotations

import argparse

import msgspec

from pilotext.cli import connect
from pilotext.cli.output import say, write
from pilotext.cli.summary import table
from pilotext.codes import Exit
from pilotext.engines.client import Client
from pilotext.errors import UsageError
from pilotext.messages import Move, Moved, TaskList, TaskRow

WORDS = ("start", "pause", "resume", "cancel", "archive")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=("list", *WORDS), default="list", help="(default: list)")
    parser.add_argument("name", nargs="?", help="the task")
    parser.add_argument("--state", help="only tasks in this state")
    parser.add_argument("--why", help="the reason of a decision; it stands in the audit trail")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List tasks, or decide on one; the exit status is 0 only when something was moved."""
    client = connect.connect(options)
    if options.do == "list":
        rows = client.get("/api/v1/tasks", TaskList, {"state": options.state, "name": options.name}).tasks
        if options.json:
            write(msgspec.json.encode(TaskList(rows)) + b"\n")
        else:
            say(table(("task", "name", "type", "state", "jobs", "merges"), [_cells(row) for row in rows]))
        return Exit.SUCCESS
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    moved = client.post(f"/api/v1/tasks/{_find(client, options.name)}/move", Move(options.do, options.why), Moved).moved
    say(f"{options.do}: {options.name}" if moved else f"{options.name} is in no state to {options.do}")
    return Exit.SUCCESS if moved else Exit.USAGE


def _find(client: Client, name: str | None) -> int:
    found = client.get("/api/v1/tasks", TaskList, {"name": name}).tasks if name else ()
    if len(found) != 1:
        raise UsageError(f"there {'is no task' if not found else 'are several tasks'} called {name!r}.")
    return found[0].task


def _cells(row: TaskRow) -> tuple[str, ...]:
    return str(row.task), row.name, row.type, row.state, _counts(row.jobs), _counts(row.merges)


def _counts(counts: dict[str, int]) -> str:
    return " ".join(f"{state}:{number}" for state, number in sorted(counts.items())) or "-"
