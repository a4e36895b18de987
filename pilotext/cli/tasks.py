"""`pilotext tasks`: list and show tasks, wait for one, and decide on them."""

from __future__ import annotations

import argparse
import time
from functools import partial

from pilotext.api.client import Client
from pilotext.api.schemas.audit import AuditTrail
from pilotext.api.schemas.fields import Move, Moved, words_of
from pilotext.api.schemas.tasks import TaskList, TaskPage, TaskRow, TaskSettings, TaskState
from pilotext.api.schemas.waits import Wait
from pilotext.cli import connection
from pilotext.cli.arguments import add_choice
from pilotext.cli.decisions import add_reason
from pilotext.cli.formatting import counts, fields, reasons, sentence
from pilotext.cli.output import say
from pilotext.cli.parser import Noun, Verb
from pilotext.cli.tables import print_table, progress, write_csv, write_json
from pilotext.errors import UsageError
from pilotext.formatting import clock
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

ENDED = ("done", "archiving", "archived", "cancelled")
BAD = ("failed", "cancelled")
SETTINGS = (
    ("priority", int, "N", "added to the priority of the type of its jobs"),
    ("share", float, "N", "its share of the slots, among tasks of equal priority"),
    ("max_attempts", int, "N", "the attempts that each job has"),
    ("replaces", str, "TASK", "an ended task whose published names this one takes over"),
)
DECISIONS = {
    "start": ("start a task that was submitted with `start: false`", "the calibrations are there"),
    "pause": ("send no new jobs of a task; those that run go on", "no beam"),
    "resume": ("send jobs of a paused task again, or take up a cancelled one", "the beam is back"),
    "cancel": ("cancel a task and its jobs", "wrong options"),
    "archive": ("archive the logs and the kept outputs of a done task, and remove its chunk files", "published"),
}
POLL_S = 2.0
NEEDS_PERSON = 75
"""Exit status of `tasks wait` when nothing moves until a person decides, starts or resumes the task."""
FOR_A_PERSON = ("person", "task-not-started", "task-paused")
"""Reasons for waiting that `tasks wait` prints."""


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="TASK", help="the name of the task")


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    connection.add_url(parser)
    connection.add_arguments(parser)


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="TASK", help="only the task of this name")
    add_choice(parser, "--state", words_of(TaskState), "only tasks in this state")
    connection.add_csv(parser)
    connection.add_arguments(parser)


def _list(options: argparse.Namespace) -> int:
    query = {"state": options.state, "name": options.name}
    found = connection.connect(options).get("/api/v1/tasks", TaskList, query).tasks
    if options.csv:
        write_csv(TaskRow, found)
    else:
        _print(found, options)
    return Exit.SUCCESS


def _print(rows: tuple[TaskRow, ...], options: argparse.Namespace) -> None:
    if options.json:
        write_json(TaskList(rows))
        return
    head = ("task", "name", "type", "state", "to decide", "jobs", "merges")
    cells = [
        (row.task, row.name, row.type, row.state, row.to_decide or "-", counts(row.jobs), counts(row.merges))
        for row in rows
    ]
    print_table(head, cells)
    for row in rows:
        if row.replaced_by:
            say(one_line(f"{row.name}: replaced by {row.replaced_by}, which owns its published names now"))
        if row.note:
            say(one_line(f"{row.name}: {row.note}"))


def _show(options: argparse.Namespace) -> int:
    client = connection.connect(options)
    page = client.get(f"/api/v1/tasks/{_find(client, options.name).task}", TaskPage)
    url = connection.page_of(options, f"/tasks/{page.task.task}")
    if options.url:
        say(url)
    elif options.json:
        write_json(page)
    else:
        say(task_page(page))
        connection.tell_page(url)
    return Exit.SUCCESS


def task_page(page: TaskPage) -> str:
    """Return everything about a task but its jobs."""
    task = page.task
    rows: list[tuple[str, object]] = [
        ("jobs", counts(task.jobs)),
        ("merges", counts(task.merges)),
        ("priority", f"{page.priority:+d} on that of its job types"),
        ("share", f"{page.share:g}"),
        ("attempts", f"{page.max_attempts} for each job"),
        ("sites", ", ".join(page.sites) or "all"),
        ("inputs", page.inputs_of),
        ("staging", "from tape" if page.staging else "its inputs are on disk"),
        ("parameters", ", ".join(f"{name}={value}" for name, value in sorted(page.parameters.items()))),
        ("environment", ", ".join(f"{name}={value}" for name, value in sorted(page.environment.items()))),
        ("submitted", clock(task.created)),
        ("changed", clock(task.changed)),
        ("note", task.note),
    ]
    head = sentence(f"task {task.task} {task.name}: {task.type} of {task.experiment}, {task.state}")
    return "\n".join([head, fields(rows), *reasons(page.waits)])


def _add_history_arguments(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    connection.add_limit(parser)
    connection.add_arguments(parser)


def _history(options: argparse.Namespace) -> int:
    client = connection.connect(options)
    task = _find(client, options.name).task
    found = client.get("/api/v1/events", AuditTrail, {"task": task, "limit": options.limit})
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    rows = [
        (clock(each.at), each.who, f"{each.subject} {each.subject_id}", each.before, each.after, each.why)
        for each in found.events
    ]
    print_table(("at", "who", "what", "from", "to", "why"), rows)
    return Exit.SUCCESS


def _add_wait_arguments(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--within", type=float, metavar="SECONDS", help="wait no longer than this (default: no limit)")
    connection.add_arguments(parser)


def _wait(options: argparse.Namespace) -> int:
    """Wait until a task has ended, or cannot go on without a person; 0 means that all its jobs have finished."""
    client = connection.connect(options)
    began = time.monotonic()
    told: list[Wait] = []
    with progress(options.name) as tell:
        while (row := _find(client, options.name)).state not in ENDED:
            every = sum(row.jobs.values()) + sum(row.merges.values())
            tell(sum(numbers.get("finished", 0) for numbers in (row.jobs, row.merges)), every)
            page = client.get(f"/api/v1/tasks/{row.task}", TaskPage)
            told = _tell_decisions(page, told)
            if page.needs_person:
                _print((row,), options)
                return NEEDS_PERSON
            if options.within is not None and time.monotonic() - began > options.within:
                _print((row,), options)
                return Exit.STOPPED
            time.sleep(POLL_S)
    _print((row,), options)
    good = row.state != "cancelled" and not any(row.jobs.get(state, 0) + row.merges.get(state, 0) for state in BAD)
    return Exit.SUCCESS if good else Exit.PAYLOAD_FAILED


def _tell_decisions(page: TaskPage, told: list[Wait]) -> list[Wait]:
    """Print on stderr what waits for a person when it is another than before, and return it."""
    waits = [wait for wait in page.waits if wait.kind in FOR_A_PERSON]
    if waits != told and waits:
        say("\n".join([f"{page.task.name}:", *reasons(waits)]), stream=2)
    elif told and not waits:
        say(one_line(f"{page.task.name}: nothing waits for a decision any more"), stream=2)
    return waits


def _add_set_arguments(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    for name, kind, value, text in SETTINGS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=value, help=text)
    add_reason(parser)
    connection.add_arguments(parser)


def _set(options: argparse.Namespace) -> int:
    client = connection.connect(options)
    asked = TaskSettings(options.why, **{name: getattr(options, name) for name, *_ in SETTINGS})
    path = f"/api/v1/tasks/{_find(client, options.name).task}/settings"
    refused = f"task {options.name} already has these settings"
    return _done("set", client.post(path, asked, Moved), refused, options)


def _add_decision_arguments(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_reason(parser)
    connection.add_arguments(parser)


def _decide(decision: str, options: argparse.Namespace) -> int:
    client = connection.connect(options)
    path = f"/api/v1/tasks/{_find(client, options.name).task}/move"
    moved = client.post(path, Move(decision, options.why), Moved)
    return _done(decision, moved, f"task {options.name}: its state does not allow {decision}", options)


def _done(verb: str, moved: Moved, refused: str, options: argparse.Namespace) -> int:
    if options.json:
        write_json(moved)
    else:
        say(one_line(f"{verb}: {options.name}" if moved.moved else refused))
    return Exit.SUCCESS if moved.moved else Exit.USAGE


def _find(client: Client, name: str) -> TaskRow:
    found = client.get("/api/v1/tasks", TaskList, {"name": name}).tasks
    if len(found) > 1:
        raise UsageError(f"there are several tasks called {name!r}, of different experiments.")
    return found[0]


NOUN = Noun(
    {
        "list": Verb("list tasks", "pilotext tasks list --state running", _add_list_arguments, _list),
        "show": Verb(
            "show the settings and parameters of a task, and why it waits",
            "pilotext tasks show slot1",
            _add_show_arguments,
            _show,
        ),
        "history": Verb(
            "show the audit trail of a task: who changed what, when and why",
            "pilotext tasks history slot1 --limit 20",
            _add_history_arguments,
            _history,
        ),
        "wait": Verb(
            "wait until a task has ended; 0: all jobs have finished, 66: some failed, 69: the time is over, 75: nothing"
            " moves until a person decides",
            "pilotext tasks wait slot1 --within 3600",
            _add_wait_arguments,
            _wait,
        ),
        "set": Verb(
            "change the priority, the share or the attempts of a task, or let it replace one that has ended",
            'pilotext tasks set slot1 --priority 500 --why "for the conference"',
            _add_set_arguments,
            _set,
        ),
        **{
            word: Verb(
                summary, f'pilotext tasks {word} slot1 --why "{why}"', _add_decision_arguments, partial(_decide, word)
            )
            for word, (summary, why) in DECISIONS.items()
        },
    },
    default="list",
)
