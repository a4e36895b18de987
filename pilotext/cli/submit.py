"""`pilotext submit`: submit a task file to the server, or show what it would do."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Iterator, Sequence

import msgspec

from pilotext.api.schemas.tasks import DryRun, RefusedInput, Submitted, TaskDocument
from pilotext.cli import connection
from pilotext.cli.arguments import FilePath
from pilotext.cli.output import say, write_json
from pilotext.cli.tables import table
from pilotext.formatting import counted_words
from pilotext.model.codes import Exit
from pilotext.model.job import Job
from pilotext.profile import Experiment, load_experiment
from pilotext.sanitize import one_line
from pilotext.server.production.submission.document import read_task
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.plan import Plan, describe, make_plan, preview

EXAMPLE = "pilotext submit slot1.yaml --dry-run\npilotext submit slot1.yaml"
MAX_SHOWN = 20
"""Jobs that a dry run shows to people."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", action=FilePath, metavar="TASK.yaml", help="the task file")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="submit nothing; print the jobs, one of them complete, and the inputs that would be refused",
    )
    parser.add_argument("--leave-out", action="store_true", help="submit without the inputs that are refused")
    connection.add_url(parser)
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Submit; the exit status is 0 only when the server has the task."""
    whole = read_task(options.task)
    if options.dry_run:
        return _dry_run(options)
    document = TaskDocument(msgspec.to_builtins(whole), options.leave_out)
    done = connection.connect(options).post("/api/v1/tasks", document, Submitted)
    url = connection.page_of(options, f"/tasks/{done.task}")
    if options.url:
        say(url)
    elif options.json:
        write_json(msgspec.json.encode(done))
    else:
        known = "" if done.created else " (it was there already)"
        say(one_line(f"task {done.task} {done.name}: {counted_words(done.jobs, 'job')}{known}"))
        for warning in done.warnings:
            say(one_line(f"warning: {warning}"))
        connection.tell_page(url)
    return Exit.SUCCESS


def _dry_run(options: argparse.Namespace) -> int:
    whole = read_task(options.task)
    experiment = load_experiment(whole.task.experiment)
    asked = bool(options.server or os.environ.get("PILOTEXT_SERVER"))
    # The outputs of another task are known to the server alone, and so are the jobs that read them.
    plan = None if asked and whole.task.chained_to is not None else make_plan(experiment, whole, list_folder)
    if asked:
        document = TaskDocument(msgspec.to_builtins(whole), options.leave_out)
        told = connection.connect(options).post("/api/v1/tasks/dry-run", document, DryRun)
    else:
        assert plan is not None
        told = describe(experiment, plan)
    refused = told.refused if plan is None else tuple(RefusedInput(each.file, each.why) for each in plan.refused)
    if options.json:
        write_json(json.dumps(_as_json(experiment, plan, told, refused)).encode())
    else:
        _show(plan, told, refused, asked=asked)
    wrong = told.refused_count and not options.leave_out
    return Exit.USAGE if wrong or told.problems or told.taken_count else Exit.SUCCESS


def _as_json(
    experiment: Experiment, plan: Plan | None, told: DryRun, refused: Sequence[RefusedInput]
) -> dict[str, object]:
    """Return the dry run with every refused input and every job; of a task in a chain with one job as an example."""
    jobs = [told.example] if plan is None and told.example else [] if plan is None else list(preview(plan, experiment))
    lists = {"jobs": msgspec.to_builtins(jobs), "refused": msgspec.to_builtins(refused)}
    return {**msgspec.to_builtins(told), **lists}


def _show_jobs(plan: Plan) -> None:
    rows = [
        (
            job.file.file,
            *("-" if each is None else str(each) for each in (job.run, job.chunk)),
            str(job.file.events or "-"),
        )
        for job in plan.jobs
    ]
    say(table(("file", "run", "chunk", "events"), rows[:MAX_SHOWN]))
    if len(rows) > MAX_SHOWN:
        say(f"... and {len(rows) - MAX_SHOWN} more")


def _show(plan: Plan | None, told: DryRun, refused: Sequence[RefusedInput], *, asked: bool) -> None:
    if plan is not None:
        _show_jobs(plan)
    if told.waits_for:
        say(one_line(f"its inputs are {told.waits_for}"))
        follow = f"{counted_words(told.to_come, 'job', 'follows')}, each when its input is there"
        say(f"{counted_words(told.jobs, 'input', 'is')} there now; {follow}")
    if told.example is not None:
        say("\none complete job, as a worker would get it:")
        say("\n".join(map(one_line, _example(told.example, told))))
    staging = "brought from tape" if told.staging else "on disk"
    merges = one_line(", ".join(told.merges) or "none")
    made = f"{counted_words(told.jobs, 'job')}, {counted_words(told.runs, 'run')}"
    say(f"\n{made}, merges: {merges}; inputs are {staging}")
    logs = ", and the log archive of each attempt" if told.example is not None and told.example.log is not None else ""
    unchecked = "" if asked else "; their owners were not checked: no --server"
    say(f"{counted_words(told.names, 'name')} to publish under{logs}{unchecked}")
    head = f"{counted_words(told.refused_count, 'input')} refused"
    say("\n".join([head, *(one_line(f"  {each.file}: {each.why}") for each in refused)]))
    if told.taken_count:
        say(f"{counted_words(told.taken_count, 'name', 'belongs')} to other tasks:")
        say("\n".join(one_line(f"  {each.url}: {each.task}'s") for each in told.taken))
    for problem in told.problems:
        say(one_line(f"refused: {problem}"))
    for warning in told.warnings:
        say(one_line(f"warning: {warning}"))


def _example(job: Job, told: DryRun) -> Iterator[str]:
    if job.setup is not None:
        yield f"  setup        {job.setup}"
    for step in job.programs:
        yield f"  command      {shlex.join(step.command)}"
    for file in job.inputs:
        yield from (f"  source       {source}" for source in file.sources)
    for planned in told.files:
        yield f"  {planned.what:<12} {planned.url}"
