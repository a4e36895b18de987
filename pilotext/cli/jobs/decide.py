"""`pilotext jobs resend`, `accept`, `fail`, `cancel` and `hurry`: decisions on jobs."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client, ServerError
from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.jobs import BulkMove, BulkMoved, JobFilter, JobRow
from pilotext.cli import connection
from pilotext.cli.decisions import CONFLICT, add_reason, add_yes, confirm
from pilotext.cli.formatting import run_chunk
from pilotext.cli.jobs.choice import add_selection, check_selection, check_tasks, job_filter
from pilotext.cli.output import say
from pilotext.cli.tables import progress, write_json
from pilotext.errors import UsageError
from pilotext.formatting import counted_words, these_words
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

DECISIONS = {
    "resend": "run jobs again",
    "accept": "count jobs as finished in spite of their verdict",
    "fail": "give jobs up: they fail for good",
    "cancel": "cancel jobs",
    "hurry": "let waiting jobs go before all others, without the wait after a failure",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    add_reason(parser)
    add_yes(parser)
    connection.add_arguments(parser)


def run(decision: str, options: argparse.Namespace) -> int:
    """Decide on jobs by number or on a choice; the exit status is 0 only if every one of them was moved."""
    check_selection(options)
    chosen = job_filter(options)
    client = connection.connect(options)
    if options.job:
        return _move(client, decision, options)
    if chosen == JobFilter():
        raise UsageError(
            "no jobs are chosen.", advice="Give their numbers, or a choice such as --task NAME --state manual."
        )
    check_tasks(options)
    return _move_many(client, decision, chosen, options)


def _move(client: Client, decision: str, options: argparse.Namespace) -> int:
    moved: list[int] = []
    hindered: dict[int, str] = {}
    for job in options.job:
        try:
            done = client.post(f"/api/v1/jobs/{job}/move", Move(decision, options.why), Moved).moved
        except ServerError as error:
            if error.status != CONFLICT:
                raise
            hindered[job] = error.message
            continue
        if done:
            moved.append(job)
        else:
            hindered[job] = f"job {job}: its state does not allow {decision}"
    if options.json:
        write_json({"moved": moved, "hindered": hindered})
    else:
        say("\n".join([*(f"{decision}: job {job}" for job in moved), *map(one_line, hindered.values())]))
    return Exit.SUCCESS if not hindered else Exit.USAGE


def _move_many(client: Client, decision: str, chosen: JobFilter, options: argparse.Namespace) -> int:
    asked = BulkMove(decision, options.why, chosen, all_tasks=options.all_tasks, dry_run=True)
    would = client.post("/api/v1/jobs/move", asked, BulkMoved)
    if would.left:
        confirm(_preview(decision, would), would, f"{decision} {these_words(would.left, 'job')}?", options)
    moved: list[int] = []
    hindered: dict[int, str] = {}
    after: int | None = 0
    with progress(decision) as tell:
        while after is not None:
            asked = BulkMove(decision, options.why, chosen, after, all_tasks=options.all_tasks)
            done = client.post("/api/v1/jobs/move", asked, BulkMoved)
            moved += done.moved
            hindered |= {one.job: one.why for one in done.hindered}
            after = done.next
            tell(len(moved), len(moved) + done.left)
    if options.json:
        write_json({"moved": moved, "hindered": hindered})
    else:
        head = f"{decision}: {counted_words(len(moved), 'job')}"
        said = [head, *(f"job {job}: {why}" for job, why in hindered.items())]
        say("\n".join(map(one_line, said)))
    return Exit.SUCCESS if moved and not hindered else Exit.USAGE


def _preview(decision: str, would: BulkMoved) -> str:
    """Return the lines that say what a decision on many jobs will do."""
    assert would.preview is not None, "it was asked for"
    preview, why = would.preview, {one.job: one.why for one in would.hindered}
    lines = [f"{decision} would move {counted_words(preview.jobs, 'job')}:"]
    lines += [
        f"  {each.jobs} {each.state} of {each.task}" + ("" if each.moves else ": stay as they are")
        for each in preview.counts
    ]
    lines += [f"  {_short(row)}" + (f": {why[row.job]}" if row.job in why else "") for row in preview.first]
    if preview.jobs > len(preview.first):
        lines.append(f"  ... and {preview.jobs - len(preview.first)} more")
    return "\n".join(map(one_line, lines))


def _short(row: JobRow) -> str:
    what = f"{row.product or row.type} {run_chunk(row.run, row.chunk)}"
    return f"job {row.job} of {row.task}: {what}, {row.state} {row.code}".rstrip()
