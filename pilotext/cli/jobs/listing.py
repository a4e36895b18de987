"""`pilotext jobs list` and `pilotext jobs manual`: lists of jobs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pilotext.api.schemas.jobs import JobList, JobRow, WorkItem, WorkList
from pilotext.cli import connection
from pilotext.cli.formatting import run_chunk
from pilotext.cli.jobs.choice import add_filters, filters
from pilotext.cli.jobs.show import evidence_lines
from pilotext.cli.output import say
from pilotext.cli.tables import print_table, write_csv, write_json
from pilotext.formatting import clock, counted_words
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_filters(parser)
    connection.add_limit(parser)
    connection.add_csv(parser)
    parser.add_argument("--newest", action="store_true", help="begin with the newest jobs")
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    client = connection.connect(options)
    found = connection.fetch_rows(client, "/api/v1/jobs", JobList, _query(options), name="jobs", limit=options.limit)
    if options.csv:
        write_csv(JobRow, found)
        return Exit.SUCCESS
    if options.json:
        write_json(JobList(tuple(found), None))
        return Exit.SUCCESS
    head = ("job", "task", "what", "run-chunk", "state", "tries", "code", "cause", "diag")
    print_table(
        head,
        [
            (
                row.job,
                row.task,
                row.product or row.type,
                run_chunk(row.run, row.chunk),
                row.state,
                row.attempts,
                row.code,
                row.cause,
                row.diag[:60],
            )
            for row in found
        ],
    )
    if len(found) == options.limit:
        say("... there may be more; see --limit")
    return Exit.SUCCESS


def run_manual(options: argparse.Namespace) -> int:
    client = connection.connect(options)
    found = connection.fetch_rows(
        client, "/api/v1/manual", WorkList, _query(options), name="items", limit=options.limit
    )
    if options.csv:
        write_csv(WorkItem, found)
    elif options.json:
        write_json(WorkList(tuple(found), None))
    else:
        say("\n\n".join("\n".join(_work(item)) for item in found) or "nothing waits for a decision")
    return Exit.SUCCESS


def _query(options: argparse.Namespace) -> dict[str, object]:
    return {**filters(options), **({"order": "newest"} if options.newest else {})}


def _work(item: WorkItem) -> Iterator[str]:
    tries = f"{counted_words(item.attempts, 'attempt')}, the last at {item.site} on {item.node or 'an unknown node'}"
    yield one_line(f"job {item.job} of {item.task}: {item.what} {run_chunk(item.run, item.chunk)}, {item.file}")
    yield one_line(f"  since {clock(item.since)}, {tries}")
    yield one_line(f"  {item.code or '-'} {item.cause or '-'}: {item.diag}")
    yield from (f"  {line}" for line in evidence_lines(item.evidence, item.remedy))
    if item.decision:
        yield one_line(f"  decided: {item.decision}")
    if item.assigned or item.notes:
        yield one_line(f"  investigated by {item.assigned or 'nobody'}, {counted_words(item.notes, 'note')}")
