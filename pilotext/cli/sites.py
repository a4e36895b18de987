"""`pilotext sites`: what runs where, what is closed or given a rest; closing, opening, limiting, holding back."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client
from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.sites import BreakerHold, BreakerRow, SiteLimit, SiteList
from pilotext.cli import connect
from pilotext.cli.output import say
from pilotext.cli.tables import clock, show, write_json
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.profile.records import unknown

WORDS = ("close", "open", "limit", "hold")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=("list", *WORDS), default="list", help="(default: list)")
    parser.add_argument("site", nargs="?", help="the site; opened, its breakers are closed too")
    parser.add_argument("--most", metavar="N", help="limit: so many at once; `profile` is what the profile says")
    parser.add_argument("--rule", help="hold: what this breaker of the profile holds, until somebody closes it")
    parser.add_argument("--node", default="", help="hold: on this node of the site")
    parser.add_argument("--experiment", default="COMPASS", help="hold: of this experiment (default: COMPASS)")
    parser.add_argument("--breaker", type=int, metavar="N", help="this breaker instead: close gives jobs out again")
    parser.add_argument("--why", help="the reason; it stands in the audit trail")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List or decide; the exit status is 0 only when something was moved."""
    client = connect.connect(options)
    if options.do == "list":
        return _list(client, options)
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if options.do == "hold":
        moved = client.post("/api/v1/breakers", _hold(options), Moved)
    elif options.do == "limit":
        moved = client.post("/api/v1/sites/limit", _limit(options), Moved)
    elif options.breaker is not None:
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


def _hold(options: argparse.Namespace) -> BreakerHold:
    if not options.rule:
        raise UsageError("by which breaker?", advice="Give --rule, one of the profile's breakers.")
    return BreakerHold(options.rule, options.why, options.experiment, options.site, options.node)


def _limit(options: argparse.Namespace) -> SiteLimit:
    if not options.site or options.most is None:
        raise UsageError("how many, and where?", advice="Give a site and --most N, or --most profile.")
    if options.most != "profile" and not options.most.isdecimal():
        raise UsageError(f"--most {options.most}: this is no number.", advice="Write a number, or profile.")
    return SiteLimit(options.site, options.why, None if options.most == "profile" else int(options.most))


def _list(client: Client, options: argparse.Namespace) -> int:
    found = _only(client.get("/api/v1/sites", SiteList), options.site)
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
        head = ("breaker", "rule", "about", "state", "since", "next try", "times", "why")
        show(head, [_cells(each) for each in breakers])
    return Exit.SUCCESS


def _only(found: SiteList, site: str | None) -> SiteList:
    """Only this site, if one is named. Raises UsageError when there is none of this name."""
    if site is None:
        return found
    if not (rows := tuple(row for row in found.sites if row.site == site)):
        raise unknown("there is no site", site, [row.site for row in found.sites])
    return SiteList(rows, found.breakers)


def _cells(row: BreakerRow) -> tuple[object, ...]:
    about, times = row.scope or "everything", (clock(row.since), clock(row.due))
    return row.breaker, row.rule, about, row.state, *times, row.trips, row.why
