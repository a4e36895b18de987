"""`pilotext submit`: a task file to the server, or to the terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pilotext.cli import connect
from pilotext.cli.output import say, write_json
from pilotext.cli.summary import table
from pilotext.codes import Exit
from pilotext.messages import Submitted, TaskDocument
from pilotext.profile import load_experiment
from pilotext.sanitize import one_line
from pilotext.server.production.submission.document import read_task
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.plan import Refused, make_plan, preview

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", type=Path, metavar="TASK.yaml", help="the task file")
    parser.add_argument("--dry-run", action="store_true", help="print the jobs, with --json exactly; nothing is sent")
    parser.add_argument("--leave-out", action="store_true", help="submit without the inputs that are refused")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Submit; the exit status is 0 only when the server has the task."""
    whole = read_task(options.task)
    if options.dry_run:
        return _dry_run(options)
    document = TaskDocument(msgspec.to_builtins(whole), options.leave_out)
    done = connect.connect(options).post("/api/v1/tasks", document, Submitted)
    if options.json:
        write_json(msgspec.json.encode(done))
    else:
        say(
            one_line(
                f"task {done.task} {done.name}: {done.jobs} jobs{'' if done.created else ' (it was there already)'}"
            )
        )
    return Exit.SUCCESS


def _dry_run(options: argparse.Namespace) -> int:
    whole = read_task(options.task)
    experiment = load_experiment(whole.task.experiment)
    plan = make_plan(experiment, whole, list_folder)
    if options.json:
        jobs = [msgspec.to_builtins(job) for job in preview(plan, experiment)]
        refused = msgspec.to_builtins(plan.refused)
        write_json(json.dumps({"jobs": jobs, "refused": refused, "merges": plan.merges}).encode())
    else:
        rows = [(job.file.file, str(job.run), str(job.chunk), str(job.file.events or "-")) for job in plan.jobs]
        say(table(("file", "run", "chunk", "events"), rows[:SHOWN]))
        if len(rows) > SHOWN:
            say(f"... and {len(rows) - SHOWN} more")
        say(f"{len(rows)} jobs, {len(plan.runs)} runs, merges: {', '.join(plan.merges) or 'none'}")
        say(_refused(plan.refused))
    return Exit.USAGE if plan.refused and not options.leave_out else Exit.SUCCESS


def _refused(refused: Sequence[Refused]) -> str:
    return "\n".join(
        [f"{len(refused)} inputs refused", *(one_line(f"  {entry.file}: {entry.why}") for entry in refused)]
    )
