"""`pilotext signatures`: the failures that no rule knows, and how often each came."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.rules import SignatureList
from pilotext.cli import connect
from pilotext.cli.tables import clock, show, write_json
from pilotext.model.codes import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--experiment", help="only of this experiment")
    parser.add_argument("--limit", type=int, default=100, help="the last so many (default: 100)")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    query = {"experiment": options.experiment, "limit": options.limit}
    found = connect.connect(options).get("/api/v1/signatures", SignatureList, query)
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    rows = [(row.signature, row.count, row.open, clock(row.last), row.job, row.diag[:80]) for row in found.signatures]
    show(("signature", "count", "open", "last", "job", "diag"), rows)
    return Exit.SUCCESS
