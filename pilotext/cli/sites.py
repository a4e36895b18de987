"""`pilotext sites`: what runs where, what is closed or given a rest, and closing and opening it."""

from __future__ import annotations

import argparse

from pilotext.cli import connect
from pilotext.cli.output import say
from pilotext.cli.tables import clock, show, write_json
from pilotext.codes import Exit
from pilotext.engines.client import Client
from pilotext.errors import UsageError
from pilotext.managing import BreakerRow, SiteList
from pilotext.messages import Move, Moved

WORDS = ("close", "open")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=("list", *WORDS), default="list", help="(default: list)")
    parser.add_argument("site", nargs="?", help="the site; opened, its breakers are closed too")
    parser.add_argument("--breaker", type=int, metavar="N", help="this breaker instead: close gives jobs out again")
    parser.add_argument("--why", help="the reason; it stands in the audit trail")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List, close or open; the exit status is 0 only when something was moved."""
    client = connect.connect(options)
    if options.do == "list":
        return _list(client, options)
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if options.breaker is not None:
        path, body = f"/api/v1/breakers/{options.breaker}/move", Move(options.do, options.why)
        moved = client.post(path, body, Moved)
    elif options.site:
        wanted = {"site": options.site, "to": options.do, "why": options.why}
        moved = client.post("/api/v1/sites/move", wanted, Moved)
    else:
        raise UsageError("which site?", advice="Give its name, or --breaker N.")
    if options.json:
        write_json(moved)
    else:
        say(f"{options.do}: done" if moved.moved else "nothing to do: it is so already")
    return Exit.SUCCESS if moved.moved else Exit.USAGE


def _list(client: Client, options: argparse.Namespace) -> int:
    found = client.get("/api/v1/sites", SiteList)
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    rows = [
        (row.site, row.experiment, row.active, row.max_active, row.agents, row.finished, row.failed, row.closed)
        for row in found.sites
    ]
    show(("site", "experiment", "active", "at most", "agents", "finished/h", "failed/h", "closed"), rows)
    breakers = [*found.breakers, *(each for row in found.sites for each in row.breakers)]
    if breakers:
        say("")
        show(("breaker", "rule", "about", "state", "probe after", "times", "why"), [_cells(each) for each in breakers])
    return Exit.SUCCESS


def _cells(row: BreakerRow) -> tuple[object, ...]:
    return row.breaker, row.rule, row.scope or "everything", row.state, clock(row.due), row.trips, row.why
