"""`pilotext runs list`: the runs of a task, one a line."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.runs import RunEvents, RunList, RunRow
from pilotext.cli import connection
from pilotext.cli.formatting import counts
from pilotext.cli.output import say
from pilotext.cli.runs.choice import add_runs
from pilotext.cli.tables import print_table, write_csv, write_json
from pilotext.model.codes import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
    connection.add_limit(parser)
    connection.add_arguments(parser)
    connection.add_csv(parser)


def run(options: argparse.Namespace) -> int:
    query = {"task": options.task, "run": options.run, "state": options.state}
    client = connection.connect(options)
    found = connection.fetch_rows(client, "/api/v1/runs", RunList, query, name="runs", limit=options.limit)
    if options.csv:
        write_csv(RunRow, found)
        return Exit.SUCCESS
    if options.json:
        write_json(RunList(tuple(found), None))
        return Exit.SUCCESS
    head = ("run", "jobs", "catalogue", "processed", "skipped", "merged", "products", "findings")
    print_table(head, [_cells(row) for row in found])
    if len(found) == options.limit:
        say("... there may be more; see --limit")
    return Exit.SUCCESS


def _cells(row: RunRow) -> tuple[object, ...]:
    events = row.events or RunEvents(None, None, None, {}, 0)
    merged = " ".join(f"{merge}:{number}" for merge, number in sorted(events.merged.items()))
    numbers = (events.catalogue, events.processed, events.skipped, merged or "-")
    products = " ".join(f"{merge}:{state}" for merge, state in row.products.items())
    return row.run, counts(row.jobs), *numbers, products or "-", "; ".join(row.findings.values())
