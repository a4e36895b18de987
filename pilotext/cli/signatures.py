"""`pilotext signatures`: list the failures that no rule knows, with their counts."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.rules import SignatureList, SignatureRow
from pilotext.cli import connection
from pilotext.cli.tables import print_table, write_csv, write_json
from pilotext.formatting import clock
from pilotext.model.codes import Exit

EXAMPLE = "pilotext signatures --experiment SHINE"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--experiment", help="only of this experiment")
    connection.add_limit(parser)
    connection.add_arguments(parser)
    connection.add_csv(parser)


def run(options: argparse.Namespace) -> int:
    query = {"experiment": options.experiment, "limit": options.limit}
    found = connection.connect(options).get("/api/v1/signatures", SignatureList, query)
    if options.csv:
        write_csv(SignatureRow, found.signatures)
        return Exit.SUCCESS
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    rows = [(row.signature, row.count, row.open, clock(row.last), row.job, row.diag[:80]) for row in found.signatures]
    print_table(("signature", "count", "open", "last", "job", "diag"), rows)
    return Exit.SUCCESS
