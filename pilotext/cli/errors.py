"""`pilotext errors`: count the failed attempts of a period by code, cause, site, task or day."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.errors import ErrorList, ErrorRow
from pilotext.cli import connection
from pilotext.cli.tables import print_table, write_csv, write_json
from pilotext.formatting import clock, point_in_time
from pilotext.model.codes import Exit

EXAMPLE = "pilotext errors --by code,site --since 2d"
FIELDS = ("code", "cause", "site", "task", "day")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by",
        default="code,cause,site",
        metavar="FIELDS",
        help=f"count by some of {','.join(FIELDS)} (default: code,cause,site)",
    )
    parser.add_argument(
        "--since",
        default="7d",
        metavar="TIME",
        help="a date such as 2026-05-31, or a time ago: 30m, 12h, 7d, 2w (default: 7d)",
    )
    parser.add_argument("--until", metavar="TIME", help="a date or a time ago (default: now)")
    for name in ("task", "site", "code"):
        parser.add_argument(f"--{name}", help=f"only attempts of this {name}")
    connection.add_arguments(parser)
    connection.add_csv(parser)


def run(options: argparse.Namespace) -> int:
    query = {name: getattr(options, name) for name in ("by", "task", "site", "code")}
    query["since"] = point_in_time(options.since)
    query["until"] = point_in_time(options.until) if options.until else None
    found = connection.connect(options).get("/api/v1/errors", ErrorList, query)
    if options.csv:
        write_csv(ErrorRow, found.errors)
        return Exit.SUCCESS
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    fields = [name for name in FIELDS if name in options.by.split(",")]
    rows = [(*(getattr(row, name) for name in fields), row.attempts, row.jobs, clock(row.last)) for row in found.errors]
    print_table((*fields, "attempts", "jobs", "last"), rows)
    return Exit.SUCCESS
