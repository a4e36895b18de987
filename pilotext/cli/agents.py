"""`pilotext agents`: list the agents that pull jobs, and drain them."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client
from pilotext.api.schemas.agents import AgentList, AgentMove, AgentRow
from pilotext.api.schemas.fields import Moved
from pilotext.api.schemas.health import Health
from pilotext.cli import connection
from pilotext.cli.arguments import add_choice
from pilotext.cli.decisions import add_reason, add_yes, confirm
from pilotext.cli.output import say
from pilotext.cli.parser import Noun, Verb
from pilotext.cli.tables import print_table, progress, write_csv, write_json
from pilotext.errors import UsageError
from pilotext.formatting import clock, counted_words, these_words
from pilotext.model.codes import Exit
from pilotext.sanitize import one_line

MAX_SHOWN = 10
"""Agents that are shown before a decision on many."""
MAX_AGENTS = 1_000_000


def _add_choice_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="*", metavar="AGENT", help="only the agents of these names")
    parser.add_argument("--site", help="only agents of this site")


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    _add_choice_arguments(parser)
    add_choice(parser, "--state", ("active", "draining", "gone"), "only agents in this state")
    connection.add_limit(parser, 1000)
    connection.add_csv(parser)
    connection.add_arguments(parser)


def _list(options: argparse.Namespace) -> int:
    client = connection.connect(options)
    found = _found(client, options, options.state, options.limit)
    if options.csv:
        write_csv(AgentRow, found)
        return Exit.SUCCESS
    if options.json:
        write_json(AgentList(tuple(found), None))
        return Exit.SUCCESS
    head = ("agent", "name", "site", "host", "state", "busy", "version", "seen", "trouble")
    print_table(head, [_cells(row) for row in found])
    _print_health(client)
    return Exit.SUCCESS


def _cells(row: AgentRow) -> tuple[object, ...]:
    busy, seen = f"{row.active}/{row.slots}", clock(row.seen)
    return row.agent, row.name, row.site, row.host, row.state, busy, row.version, seen, _trouble(row)


def _trouble(row: AgentRow) -> str:
    """Return why an agent gets no jobs, or may have died."""
    said = [f"silent since {clock(row.silent_since)}"] if row.silent_since is not None else []
    said += [f"its token {row.token} ended {clock(row.token_ended)}"] if row.token_ended is not None else []
    return "; ".join(said) or "-"


def _print_health(client: Client) -> None:
    """Print problems of the server, such as a database disk that is nearly full."""
    found = client.get("/health", Health)
    for name, part in found.parts.items():
        if part.status != "ok" and name != "agents":  # they stand above
            say(one_line(f"{part.status}: {name}: {part.what}"))


def _found(client: Client, options: argparse.Namespace, state: str | None, limit: int) -> list[AgentRow]:
    """Return the agents that are named, or all; the server refuses a name that does not exist."""
    found: list[AgentRow] = []
    for name in options.name or [None]:
        query = {"name": name, "site": options.site, "state": state}
        found += connection.fetch_rows(client, "/api/v1/agents", AgentList, query, name="agents", limit=limit)
    return found


def _add_drain_arguments(parser: argparse.ArgumentParser) -> None:
    _add_choice_arguments(parser)
    add_reason(parser)
    add_yes(parser)
    connection.add_arguments(parser)


def _drain(options: argparse.Namespace) -> int:
    """Drain agents; the exit status is 0 only if every agent that was named gets no more jobs."""
    client = connection.connect(options)
    if not options.name and not options.site:
        raise UsageError("no agents are chosen.", advice="Give their names, or --site.")
    rows = _found(client, options, None if options.name else "active", MAX_AGENTS)
    active = [row for row in rows if row.state == "active"]
    if active and not options.name:
        question = f"drain {these_words(len(active), 'agent')}?"
        confirm(_preview(active), AgentList(tuple(active), None), question, options)
    moved: list[int] = []
    with progress("drain") as tell:
        for row in active:
            moved += client.post(f"/api/v1/agents/{row.agent}/move", AgentMove("drain", options.why), Moved).moved
            tell(len(moved), len(active))
    missing = [name for name in options.name if name not in {row.name for row in active}]
    if options.json:
        write_json({"moved": moved, "missing": missing})
    else:
        said = [f"drain: {counted_words(len(moved), 'agent')}", *(f"{name} is not an active agent" for name in missing)]
        say("\n".join(map(one_line, said)))
    return Exit.SUCCESS if moved and not missing else Exit.USAGE


def _preview(rows: list[AgentRow]) -> str:
    running = counted_words(sum(row.active for row in rows), "running job")
    lines = [f"drain is for {counted_words(len(rows), 'agent')} with {running}:"]
    lines += [f"  {row.name} on {row.host or 'an unknown host'}, {row.active}/{row.slots}" for row in rows[:MAX_SHOWN]]
    if len(rows) > MAX_SHOWN:
        lines.append(f"  ... and {len(rows) - MAX_SHOWN} more")
    return "\n".join(map(one_line, lines))


NOUN = Noun(
    {
        "list": Verb(
            "list agents, with those that are silent or whose token has ended, and problems of the server",
            "pilotext agents list --site A_SITE --state active",
            _add_list_arguments,
            _list,
        ),
        "drain": Verb(
            "send no more jobs to agents; they end when their jobs are done",
            'pilotext agents drain node7 --why "the node is to be repaired"',
            _add_drain_arguments,
            _drain,
        ),
    },
    default="list",
)
