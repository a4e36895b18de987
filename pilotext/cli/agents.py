"""`pilotext agents`: who pulls jobs, where, and whether they are still heard of."""

from __future__ import annotations

import argparse

from pilotext.cli import connect
from pilotext.cli.tables import clock, pages, show, write_json
from pilotext.codes import Exit
from pilotext.messages import AgentList


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", help="only at this site")
    parser.add_argument("--state", choices=("active", "draining", "gone"), help="only in this state")
    parser.add_argument("--limit", type=int, default=1000, help="at most so many (default: 1000)")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    query = {"site": options.site, "state": options.state}
    found = pages(connect.connect(options), "/api/v1/agents", AgentList, query, name="agents", most=options.limit)
    if options.json:
        write_json(AgentList(tuple(found), None))
        return Exit.SUCCESS
    rows = [
        (row.agent, row.name, row.site, row.host, row.state, f"{row.active}/{row.slots}", row.version, clock(row.seen))
        for row in found
    ]
    show(("agent", "name", "site", "host", "state", "busy", "version", "seen"), rows)
    return Exit.SUCCESS
