"""`pilotext agents`: who pulls jobs, where, whether they are still heard of; and draining them."""

from __future__ import annotations

import argparse

from pilotext.adjusting import AgentMove
from pilotext.cli import connect
from pilotext.cli.output import say
from pilotext.cli.tables import clock, pages, progress, show, write_json
from pilotext.codes import Exit
from pilotext.engines.client import Client
from pilotext.errors import UsageError
from pilotext.messages import AgentList, AgentRow, Moved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=("list", "drain"), default="list", help="(default: list)")
    parser.add_argument("name", nargs="*", help="drain: these agents; without, all of --site")
    parser.add_argument("--site", help="only at this site")
    parser.add_argument("--state", choices=("active", "draining", "gone"), help="only in this state")
    parser.add_argument("--limit", type=int, default=1000, help="list at most so many (default: 1000)")
    parser.add_argument("--why", help="the reason of draining; it stands in the audit trail")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List or drain; the exit status is 0 only when every agent that was named gets no more jobs."""
    client = connect.connect(options)
    if options.do == "drain":
        return _drain(client, options)
    found = _found(client, options, options.state, options.limit)
    if options.json:
        write_json(AgentList(tuple(found), None))
        return Exit.SUCCESS
    rows = [
        (row.agent, row.name, row.site, row.host, row.state, f"{row.active}/{row.slots}", row.version, clock(row.seen))
        for row in found
    ]
    show(("agent", "name", "site", "host", "state", "busy", "version", "seen"), rows)
    return Exit.SUCCESS


def _found(client: Client, options: argparse.Namespace, state: str | None, most: int) -> list[AgentRow]:
    query = {"site": options.site, "state": state}
    return pages(client, "/api/v1/agents", AgentList, query, name="agents", most=most)


def _drain(client: Client, options: argparse.Namespace) -> int:
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if not options.name and not options.site:
        raise UsageError("which agents?", advice="Give their names, or --site.")
    active = {row.name: row.agent for row in _found(client, options, "active", 1_000_000)}
    wanted = options.name or list(active)
    missing = [name for name in wanted if name not in active]
    moved: list[int] = []
    with progress("drain") as tell:
        for name in wanted:
            if name in active:
                path = f"/api/v1/agents/{active[name]}/move"
                moved += client.post(path, AgentMove("drain", options.why), Moved).moved
            tell(len(moved), len(wanted))
    if options.json:
        write_json({"moved": moved, "missing": missing})
    else:
        say("\n".join([f"drain: {len(moved)} agents", *(f"{name} is no active agent" for name in missing)]))
    return Exit.SUCCESS if moved and not missing else Exit.USAGE
