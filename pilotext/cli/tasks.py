"""`pilotext tasks`: what the server has, and what it shall do."""

from __future__ import annotations

import argparse
import time

from pilotext.api.client import Client
from pilotext.api.schemas.audit import AuditTrail
from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.tasks import TaskList, TaskPage, TaskRow, TaskSettings
from pilotext.cli import connect
from pilotext.cli.output import say
from pilotext.cli.run_page import task_page
from pilotext.cli.tables import clock, counts, progress, show, write_json
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

WORDS = ("start", "pause", "resume", "cancel", "archive")
ENDED = ("done", "archiving", "archived", "cancelled")
BAD = ("failed", "cancelled")
SETTINGS = (
    ("priority", int, "added to the priority of its jobs' type"),
    ("share", float, "of the places, among tasks of equal priority"),
    ("max_attempts", int, "attempts that each job has"),
)
POLL_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    choices = ("list", "show", "history", "wait", "set", *WORDS)
    parser.add_argument("do", nargs="?", choices=choices, default="list", help="(default: list)")
    parser.add_argument("name", nargs="?", help="the task")
    parser.add_argument("--state", help="only tasks in this state")
    parser.add_argument("--limit", type=int, default=100, help="lines of the history (default: 100)")
    parser.add_argument("--within", type=float, metavar="SECONDS", help="wait no longer than this")
    for name, kind, text in SETTINGS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"set: {text}")
    parser.add_argument("--why", help="the reason of a decision; it stands in the audit trail")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List tasks, decide on one, or wait for one: then 0 is that all its jobs have finished."""
    client = connect.connect(options)
    if options.do == "list":
        rows = client.get("/api/v1/tasks", TaskList, {"state": options.state, "name": options.name}).tasks
        return _show(rows, options)
    if options.do == "show":
        return _page(client, options)
    if options.do == "history":
        return _history(client, options)
    if options.do == "wait":
        return _wait(client, options)
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    task = _find(client, options.name).task
    if options.do == "set":
        asked = TaskSettings(options.why, **{name: getattr(options, name) for name, *_ in SETTINGS})
        moved = client.post(f"/api/v1/tasks/{task}/settings", asked, Moved)
        refused = f"{options.name} has these settings already"
    else:
        moved = client.post(f"/api/v1/tasks/{task}/move", Move(options.do, options.why), Moved)
        refused = f"{options.name} is in no state to {options.do}"
    if options.json:
        write_json(moved)
    else:
        say(one_line(f"{options.do}: {options.name}" if moved.moved else refused))
    return Exit.SUCCESS if moved.moved else Exit.USAGE


def _show(rows: tuple[TaskRow, ...], options: argparse.Namespace) -> int:
    if options.json:
        write_json(TaskList(rows))
    else:
        head = ("task", "name", "type", "state", "jobs", "merges")
        show(head, [(row.task, row.name, row.type, row.state, counts(row.jobs), counts(row.merges)) for row in rows])
        for row in rows:
            if row.replaced_by:
                say(one_line(f"{row.name}: replaced by {row.replaced_by}, which owns its published names now"))
            if row.note:
                say(one_line(f"{row.name}: {row.note}"))
    return Exit.SUCCESS


def _page(client: Client, options: argparse.Namespace) -> int:
    page = client.get(f"/api/v1/tasks/{_find(client, options.name).task}", TaskPage)
    write_json(page) if options.json else say(task_page(page))
    return Exit.SUCCESS


def _history(client: Client, options: argparse.Namespace) -> int:
    task = _find(client, options.name).task
    found = client.get("/api/v1/events", AuditTrail, {"task": task, "limit": options.limit})
    if options.json:
        write_json(found)
    else:
        rows = [
            (clock(each.at), each.who, f"{each.subject} {each.subject_id}", each.before, each.after, each.why)
            for each in found.events
        ]
        show(("at", "who", "what", "from", "to", "why"), rows)
    return Exit.SUCCESS


def _wait(client: Client, options: argparse.Namespace) -> int:
    began = time.monotonic()
    with progress(options.name or "") as tell:
        while (row := _find(client, options.name)).state not in ENDED:
            every = sum(row.jobs.values()) + sum(row.merges.values())
            tell(sum(numbers.get("finished", 0) for numbers in (row.jobs, row.merges)), every)
            if options.within is not None and time.monotonic() - began > options.within:
                _show((row,), options)
                return Exit.STOPPED
            time.sleep(POLL_S)
    _show((row,), options)
    good = row.state != "cancelled" and not any(row.jobs.get(state, 0) + row.merges.get(state, 0) for state in BAD)
    return Exit.SUCCESS if good else Exit.PAYLOAD_FAILED


def _find(client: Client, name: str | None) -> TaskRow:
    if not name:
        raise UsageError("which task?", advice="Give its name.")
    found = client.get("/api/v1/tasks", TaskList, {"name": name}).tasks
    if len(found) > 1:
        raise UsageError(f"there are several tasks called {name!r}, of different experiments.")
    return found[0]
