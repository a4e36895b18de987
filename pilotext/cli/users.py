"""`pilotext users`: list the accounts for the pages, with their roles."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.access import UserList
from pilotext.cli import connection
from pilotext.cli.tables import print_table, write_json
from pilotext.formatting import clock
from pilotext.model.codes import Exit

EXAMPLE = "pilotext users"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    found = connection.connect(options).get("/api/v1/users", UserList)
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    rows = [(row.user, row.role or "none", clock(row.last_login), row.tokens) for row in found.users]
    print_table(("user", "role", "last login", "good tokens"), rows)
    return Exit.SUCCESS
