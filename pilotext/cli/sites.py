"""`pilotext sites`: list sites and breakers, and decide on them."""

from __future__ import annotations

import argparse
import os
from functools import partial

from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.sites import BREAKER_WORDS, BreakerHold, BreakerRow, SiteLimit, SiteList, SiteRow
from pilotext.cli import connection
from pilotext.cli.decisions import add_reason
from pilotext.cli.output import say
from pilotext.cli.parser import Noun, Verb
from pilotext.cli.tables import print_table, write_csv, write_json
from pilotext.errors import UsageError
from pilotext.formatting import clock
from pilotext.model.codes import Exit
from pilotext.profile import DEFAULT
from pilotext.profile.records import unknown

FROM_PROFILE = "profile"


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", nargs="?", metavar="SITE", help="only this site")
    connection.add_arguments(parser)
    connection.add_csv(parser)


def _list(options: argparse.Namespace) -> int:
    found = _only(connection.connect(options).get("/api/v1/sites", SiteList), options.site)
    if options.csv:
        write_csv(SiteRow, found.sites)
        return Exit.SUCCESS
    if options.json:
        write_json(found)
        return Exit.SUCCESS
    rows = [
        (row.site, row.experiment, row.active, row.max_active, row.agents, row.finished, row.failed, row.closed)
        for row in found.sites
    ]
    print_table(("site", "experiment", "active", "at most", "agents", "finished/h", "failed/h", "closed"), rows)
    breakers = [*found.breakers, *(each for row in found.sites for each in row.breakers)]
    if breakers:
        say("")
        head = ("breaker", "rule", "about", "state", "since", "next try", "times", "why")
        print_table(head, [_cells(each) for each in breakers])
    return Exit.SUCCESS


def _only(found: SiteList, site: str | None) -> SiteList:
    """Return only this site, if one is named. Raises UsageError for a name that does not exist."""
    if site is None:
        return found
    if not (rows := tuple(row for row in found.sites if row.site == site)):
        raise unknown("there is no site", site, [row.site for row in found.sites])
    return SiteList(rows, found.breakers)


def _cells(row: BreakerRow) -> tuple[object, ...]:
    about, times = row.scope or "everything", (clock(row.since), clock(row.due))
    return row.breaker, row.rule, about, BREAKER_WORDS.get(row.state, row.state), *times, row.trips, row.why


def _add_move_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", nargs="?", metavar="SITE", help="the site")
    parser.add_argument("--breaker", type=int, metavar="N", help="a breaker in place of a site, by its number")
    add_reason(parser)
    connection.add_arguments(parser)


def _move(to: str, options: argparse.Namespace) -> int:
    client = connection.connect(options)
    if options.breaker is not None:
        moved = client.post(f"/api/v1/breakers/{options.breaker}/move", Move(to, options.why), Moved)
    elif options.site:
        moved = client.post("/api/v1/sites/move", {"site": options.site, "to": to, "why": options.why}, Moved)
    else:
        raise UsageError("no site is named.", advice="Give its name, or --breaker N.")
    return _done(to, moved, options)


def _add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", metavar="SITE", help="the site")
    text = f"so many at once; `{FROM_PROFILE}` restores the limit of the profile"
    parser.add_argument("--most", required=True, type=_limit, metavar="N", help=text)
    add_reason(parser)
    connection.add_arguments(parser)


def _set_limit(options: argparse.Namespace) -> int:
    asked = SiteLimit(options.site, options.why, options.most)
    return _done("limit", connection.connect(options).post("/api/v1/sites/limit", asked, Moved), options)


def _limit(word: str) -> int | None:
    if word == FROM_PROFILE:
        return None
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word} is not a number; write a number, or {FROM_PROFILE}")
    return int(word)


def _add_hold_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", nargs="?", metavar="SITE", help="the site, for a breaker of a site or a node")
    parser.add_argument("--rule", required=True, help="the breaker, by its name in the profile")
    parser.add_argument("--node", default="", help="the node of the site, for a breaker of a node")
    text = f"the experiment of the profile (default: {DEFAULT} here or of the server, or the only one there is)"
    parser.add_argument("--experiment", default=os.environ.get(DEFAULT), metavar="E", help=text)
    add_reason(parser)
    connection.add_arguments(parser)


def _hold(options: argparse.Namespace) -> int:
    asked = BreakerHold(options.rule, options.why, options.experiment, options.site, options.node)
    return _done("hold", connection.connect(options).post("/api/v1/breakers", asked, Moved), options)


def _done(verb: str, moved: Moved, options: argparse.Namespace) -> int:
    if options.json:
        write_json(moved)
    else:
        say(f"{verb}: done" if moved.moved else "nothing to do: it is already so")
    return Exit.SUCCESS if moved.moved else Exit.USAGE


NOUN = Noun(
    {
        "list": Verb(
            "list sites with their jobs of the last hour, and breakers",
            "pilotext sites list",
            _add_list_arguments,
            _list,
        ),
        "close": Verb(
            "close a site: it gets no more jobs; or reset a breaker: what it blocked gets jobs again",
            'pilotext sites close A_SITE --why "maintenance"\n'
            'pilotext sites close --breaker 3 --why "the storage is back"',
            _add_move_arguments,
            partial(_move, "close"),
        ),
        "open": Verb(
            "open a site, and reset its breakers; or trip a breaker until `close` resets it",
            'pilotext sites open A_SITE --why "the maintenance is over"',
            _add_move_arguments,
            partial(_move, "open"),
        ),
        "limit": Verb(
            "limit the jobs that run at a site at once",
            'pilotext sites limit A_SITE --most 200 --why "slow storage"',
            _add_limit_arguments,
            _set_limit,
        ),
        "hold": Verb(
            "trip a breaker of the profile until somebody resets it",
            'pilotext sites hold --rule "conditions database" --why "it is being moved"',
            _add_hold_arguments,
            _hold,
        ),
    },
    default="list",
)
