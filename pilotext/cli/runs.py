"""`pilotext runs`: the runs of a task, how far their jobs are, and what became of their merges."""

from __future__ import annotations

import argparse

from pilotext.cli import connect
from pilotext.cli.output import say
from pilotext.cli.tables import counts, pages, show, write_json
from pilotext.codes import Exit
from pilotext.managing import RunList, RunRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="the task")
    parser.add_argument("--run", type=int, help="only this run")
    parser.add_argument("--state", help="only runs with a product in this state, such as manual")
    parser.add_argument("--limit", type=int, default=100, help="at most so many (default: 100)")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    client = connect.connect(options)
    query = {name: getattr(options, name) for name in ("task", "run", "state")}
    found = pages(client, "/api/v1/runs", RunList, query, name="runs", most=options.limit)
    if options.json:
        write_json(RunList(tuple(found), None))
        return Exit.SUCCESS
    show(("run", "jobs", "products", "findings"), [_cells(row) for row in found])
    if len(found) == options.limit:
        say("... there may be more; see --limit")
    return Exit.SUCCESS


def _cells(row: RunRow) -> tuple[object, ...]:
    products = " ".join(f"{merge}:{state}" for merge, state in row.products.items())
    return row.run, counts(row.jobs), products or "-", "; ".join(row.findings.values())
