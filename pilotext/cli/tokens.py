"""`pilotext tokens`: who may call the server's API; making tokens, and revoking them."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client
from pilotext.api.schemas.access import IssuedToken, NewToken, Revocation, Revoked, TokenList, TokenRow
from pilotext.cli import connect
from pilotext.cli.output import say, write
from pilotext.cli.tables import clock, show, write_json
from pilotext.errors import UsageError
from pilotext.model.codes import Exit
from pilotext.profile.records import unknown

ROLES = ("viewer", "expert", "manager", "agent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=("list", "make", "revoke"), default="list", help="(default: list)")
    parser.add_argument("label", nargs="?", help="whose tokens; in the list, only theirs")
    parser.add_argument("--role", choices=ROLES, default="viewer", help="make: (default: viewer)")
    parser.add_argument("--site", help="make: the only site that an agent with it may ask for")
    parser.add_argument("--days", type=int, default=365, help="make: good for so many days (default: 365)")
    parser.add_argument("--token", type=int, metavar="N", help="revoke: this one, by its number in the list")
    parser.add_argument("--all", action="store_true", help="list those too that are no good any more")
    parser.add_argument("--why", help="the reason of revoking; it stands in the audit trail")
    connect.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List, make or revoke; the exit status is 0 only when a token was made or ended, if one was to be."""
    client = connect.connect(options)
    if options.do == "make":
        return _make(client, options)
    rows = client.get("/api/v1/tokens", TokenList).tokens
    if options.label:
        if options.label not in (labels := {row.label for row in rows}):
            raise unknown("there is no token with the label", options.label, sorted(labels))
        rows = tuple(row for row in rows if row.label == options.label)
    if options.do == "revoke":
        return _revoke(client, rows, options)
    if not options.all:
        rows = tuple(row for row in rows if row.revoked is None)
    if options.json:
        write_json(TokenList(rows))
        return Exit.SUCCESS
    head = ("token", "label", "role", "site", "made", "good until", "revoked")
    show(head, [_cells(row) for row in rows])
    return Exit.SUCCESS


def _cells(row: TokenRow) -> tuple[object, ...]:
    return row.token, row.label, row.role, row.site, clock(row.created), clock(row.expires), clock(row.revoked)


def _make(client: Client, options: argparse.Namespace) -> int:
    if not options.label:
        raise UsageError("whose token?", advice="Give a label, such as the name of the person or the node.")
    asked = NewToken(options.label, options.role, options.site, options.days)
    made = client.post("/api/v1/tokens", asked, IssuedToken)
    # Not by `say`, which hides secrets: this one is told just now, and never again.
    write(b'{"token":"%b"}\n' % made.token.encode() if options.json else made.token.encode() + b"\n")
    return Exit.SUCCESS


def _revoke(client: Client, rows: tuple[TokenRow, ...], options: argparse.Namespace) -> int:
    if not options.why:
        raise UsageError("a decision needs a reason.", advice="Give --why.")
    if options.label is None and options.token is None:
        raise UsageError("which token?", advice="Give its label, or --token N.")
    chosen = [row for row in rows if options.token in (None, row.token) and row.revoked is None]
    ended: list[int] = []
    for row in chosen:
        ended += client.post(f"/api/v1/tokens/{row.token}/revoke", Revocation(options.why), Revoked).revoked
    if options.json:
        write_json(Revoked(tuple(ended)))
    else:
        say(f"tokens revoked: {len(ended)}")
    return Exit.SUCCESS if ended else Exit.USAGE
