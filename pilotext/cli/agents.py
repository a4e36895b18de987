"""`pilotext agents`: who pulls jobs, where, whether they are still heard of; and draining them."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client
from pilotext.api.schemas.agents import AgentList, AgentMove, AgentRow
from pilotext.api.schemas.fields import Moved
from pilotext.api.schemas.health import Health
from pilotext.cli import confirm, connect
from pilotext.cli.output import say
from pilotext.cli.tables import clock, pages, progress, show, write_json
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

MAX_SHOWN = 10
"""Agents that are shown before a decision on many."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=("list", "drain"), default="list", help="(default: list)")
    parser.add_argument("name", nargs="*", help="only these agents; drain without them: all of --site")
    parser.add_argument("--site", help="only at this site")
    parser.add_argument("--state", choices=("active", "draining", "gone"), help="only in this state")
    parser.add_argument("--limit", type=int, default=1000, help="list at most so many (default: 1000)")
    parser.add_argument("--why", help="the reason of draining; it stands in the audit trail")
    confirm.add_arguments(parser)
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
        (
            row.agent,
            row.name,
            row.site,
            row.host,
            row.state,
            f"{row.active}/{row.slots}",
            row.version,
            clock(row.seen),
            _trouble(row),
        )
        for row in found
    ]
    show(("agent", "name", "site", "host", "state", "busy", "version", "seen", "trouble"), rows)
    _tell_health(client)
    return Exit.SUCCESS


def _trouble(row: AgentRow) -> str:
    """Why an agent gets no jobs, or may have died."""
    said = [f"silent since {clock(row.silent_since)}"] if row.silent_since is not None else []
    said += [f"its token {row.token} ended {clock(row.token_ended)}"] if row.token_ended is not None else []
    return "; ".join(said) or "-"


def _tell_health(client: Client) -> None:
    """Say what is not well with the server, such as a disk of its database that becomes full."""
    found = client.get("/health", Health)
    for name, part in found.parts.items():
        if part.status != "ok" and name != "agents":  # they stand above
            say(one_line(f"{part.status}: {name}: {part.what}"))


def _found(client: Client, options: argparse.Namespace, state: str | None, most: int) -> list[AgentRow]:
    """The agents that are named, or all; the server refuses a name that there is not."""
    found: list[AgentRow] = []
    for name in options.name or [None]:
        query = {"name": name, "site": options.site, "state": state}
        found += pages(client, "/api/v1/agents", AgentList, query, name="agents", most=most)
    return found


def _drain(client: Client, options: argparse.Namespace) -> int:
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if not options.name and not options.site:
        raise UsageError("which agents?", advice="Give their names, or --site.")
    rows = _found(client, options, None if options.name else "active", 1_000_000)
    active = [row for row in rows if row.state == "active"]
    if active and not options.name:
        question = f"drain these {len(active)} agents?"
        confirm.confirm(_preview(active), AgentList(tuple(active), None), question, options)
    moved: list[int] = []
    with progress("drain") as tell:
        for row in active:
            moved += client.post(f"/api/v1/agents/{row.agent}/move", AgentMove("drain", options.why), Moved).moved
            tell(len(moved), len(active))
    missing = [name for name in options.name if name not in {row.name for row in active}]
    if options.json:
        write_json({"moved": moved, "missing": missing})
    else:
        said = [f"drain: {len(moved)} agents", *(f"{name} is no active agent" for name in missing)]
        say("\n".join(map(one_line, said)))
    return Exit.SUCCESS if moved and not missing else Exit.USAGE


def _preview(rows: list[AgentRow]) -> str:
    lines = [f"drain is for {len(rows)} agents, which run {sum(row.active for row in rows)} jobs:"]
    lines += [f"  {row.name} on {row.host or 'an unknown host'}, {row.active}/{row.slots}" for row in rows[:MAX_SHOWN]]
    if len(rows) > MAX_SHOWN:
        lines.append(f"  ... and {len(rows) - MAX_SHOWN} more")
    return "\n".join(map(one_line, lines))
