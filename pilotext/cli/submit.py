"""`pilotext submit`: submit a task file to the server, or show what it would do."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from pilotext.api.client import Client
from pilotext.api.schemas.factories import FactoryList
from pilotext.api.schemas.fields import words_of
from pilotext.api.schemas.tasks import DryRun, RefusedInput, Submitted, TaskDocument
from pilotext.cli import connection
from pilotext.cli.arguments import FilePath
from pilotext.cli.output import say, write_json
from pilotext.cli.tables import table
from pilotext.engines.settings import BatchSystem
from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.model.codes import Exit
from pilotext.model.job import Job
from pilotext.profile import Experiment, load_experiment
from pilotext.sanitize import one_line
from pilotext.server.production.submission.document import WholeTask, read_task
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.plan import Plan, describe, make_plan, preview
from pilotext.server.production.submission.planned import Planned

EXAMPLE = "pilotext submit slot1.yaml --dry-run\npilotext submit slot1.yaml\npilotext submit slot1.yaml --engine panda"
MAX_SHOWN = 20
"""Jobs that a dry run shows to people."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", action=FilePath, metavar="TASK.yaml", help="the task file")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="submit nothing; print the jobs, one of them complete, and the inputs that would be refused",
    )
    parser.add_argument(
        "--engine",
        choices=words_of(BatchSystem),
        help="run its jobs at those of its sites where a factory uses this batch system, or `panda`",
    )
    parser.add_argument("--leave-out", action="store_true", help="submit without the inputs that are refused")
    connection.add_url(parser)
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Submit; the exit status is 0 only when the server has the task."""
    whole = read_task(options.task)
    if options.dry_run and not _asks_server(options):
        return _dry_run(options, whole, None)
    client = connection.connect(options)
    whole = _placed(whole, options.engine, client)
    if options.dry_run:
        return _dry_run(options, whole, client)
    document = TaskDocument(msgspec.to_builtins(whole), options.leave_out)
    done = client.post("/api/v1/tasks", document, Submitted)
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


def _asks_server(options: argparse.Namespace) -> bool:
    return bool(options.server or os.environ.get("PILOTEXT_SERVER") or options.engine)


def _placed(whole: WholeTask, engine: str | None, client: Client) -> WholeTask:
    """Return the task at those of its sites where a factory uses an engine. Raises UsageError where none does."""
    if engine is None:
        return whole
    known = load_experiment(whole.task.experiment).sites
    factories = client.get("/api/v1/factories", FactoryList).factories
    labels = [label for factory in factories if not factory.silent for label in factory.labels]
    served = {label.site for label in labels if label.system == engine and label.site in known}
    sites = tuple(sorted(served & set(whole.task.sites or served)))
    if not sites:
        where = ", ".join(whole.task.sites) or f"any site of {whole.task.experiment}"
        advice = f"Start one with a label of `system: {engine}`; `pilotext factory list` shows those there are."
        raise UsageError(f"no factory uses {engine} for {one_line(where)}.", advice=advice)
    return replace(whole, task=replace(whole.task, sites=sites))


def _dry_run(options: argparse.Namespace, whole: WholeTask, client: Client | None) -> int:
    experiment = load_experiment(whole.task.experiment)
    # The outputs of another task are known to the server alone, and so are the jobs that read them.
    plan = (
        None if client is not None and whole.task.chained_to is not None else make_plan(experiment, whole, list_folder)
    )
    if client is not None:
        document = TaskDocument(msgspec.to_builtins(whole), options.leave_out)
        told = client.post("/api/v1/tasks/dry-run", document, DryRun)
    else:
        assert plan is not None
        told = describe(experiment, plan)
    refused = told.refused if plan is None else tuple(RefusedInput(each.file, each.why) for each in plan.refused)
    if options.json:
        write_json(json.dumps(_as_json(experiment, plan, told, refused)).encode())
    else:
        _show(plan, told, refused, asked=client is not None)
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
            f"{job.file.file}{_part(job)}",
            *("-" if each is None else str(each) for each in (job.run, job.chunk)),
            str(sum(file.events or 0 for file in job.inputs) or "-"),
        )
        for job in plan.jobs
    ]
    say(table(("file", "run", "chunk", "events"), rows[:MAX_SHOWN]))
    if len(rows) > MAX_SHOWN:
        say(f"... and {len(rows) - MAX_SHOWN} more")


def _part(job: Planned) -> str:
    if job.event_range is not None:
        return f", from event {job.event_range.before + 1} on"
    return f" and {len(job.further)} more" if job.further else ""


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
