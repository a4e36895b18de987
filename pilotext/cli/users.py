"""`pilotext users`: who has an account for the pages, and may what."""

from __future__ import annotations

import argparse

from pilotext.api.schemas.access import UserList
from pilotext.cli import connect
from pilotext.cli.tables import clock, show, write_json
from pilotext.model.codes import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    found = connect.connect(options).get("/api/v1/users", UserList)
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    rows = [(row.user, row.role or "none", clock(row.last_login), row.tokens) for row in found.users]
    show(("user", "role", "last login", "good tokens"), rows)
    return Exit.SUCCESS
