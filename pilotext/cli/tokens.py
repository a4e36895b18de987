"""`pilotext tokens`: list, make and revoke the tokens with which people and agents call the server."""

from __future__ import annotations

import argparse

from pilotext.api.client import Client
from pilotext.api.schemas.access import IssuedToken, NewToken, Revocation, Revoked, TokenList, TokenRow
from pilotext.cli import connection
from pilotext.cli.arguments import add_choice
from pilotext.cli.decisions import add_reason
from pilotext.cli.output import say, write
from pilotext.cli.parser import Noun, Verb
from pilotext.cli.tables import print_table, write_json
from pilotext.errors import UsageError
from pilotext.formatting import clock
from pilotext.model.codes import Exit
from pilotext.profile.records import unknown

ROLES = ("viewer", "expert", "manager", "agent")


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("label", nargs="?", metavar="LABEL", help="only tokens of this label")
    parser.add_argument("--all", action="store_true", help="list revoked tokens too")
    connection.add_arguments(parser)


def _list(options: argparse.Namespace) -> int:
    rows = _found(connection.connect(options), options.label)
    if not options.all:
        rows = tuple(row for row in rows if row.revoked is None)
    if options.json:
        write_json(TokenList(rows))
        return Exit.SUCCESS
    head = ("token", "label", "role", "site", "made", "good until", "revoked")
    print_table(head, [_cells(row) for row in rows])
    return Exit.SUCCESS


def _found(client: Client, label: str | None) -> tuple[TokenRow, ...]:
    """Return the tokens of a label, or all. Raises UsageError for a label that no token has."""
    rows = client.get("/api/v1/tokens", TokenList).tokens
    if label is None:
        return rows
    if label not in (labels := {row.label for row in rows}):
        raise unknown("there is no token with the label", label, sorted(labels))
    return tuple(row for row in rows if row.label == label)


def _cells(row: TokenRow) -> tuple[object, ...]:
    return row.token, row.label, row.role, row.site, clock(row.created), clock(row.expires), clock(row.revoked)


def _add_make_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("label", metavar="LABEL", help="the name of the person or the node that gets it")
    add_choice(parser, "--role", ROLES, "what it allows (default: viewer)", default="viewer")
    parser.add_argument("--site", help="the only site that an agent with this token may ask for")
    parser.add_argument("--days", type=int, default=365, metavar="N", help="it ends after N days (default: 365)")
    connection.add_arguments(parser)


def _make(options: argparse.Namespace) -> int:
    """Make a token, and print it: this is the only time that it is shown."""
    asked = NewToken(options.label, options.role, options.site, options.days)
    made = connection.connect(options).post("/api/v1/tokens", asked, IssuedToken)
    # Not with `say`, which hides secrets.
    write(b'{"token":"%b"}\n' % made.token.encode() if options.json else made.token.encode() + b"\n")
    return Exit.SUCCESS


def _add_revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("label", nargs="?", metavar="LABEL", help="revoke all tokens of this label")
    parser.add_argument("--token", type=int, metavar="N", help="revoke this one, by its number in the list")
    add_reason(parser)
    connection.add_arguments(parser)


def _revoke(options: argparse.Namespace) -> int:
    """Revocation tokens; the exit status is 0 only if there was one to revoke."""
    if options.label is None and options.token is None:
        raise UsageError("no token is named.", advice="Give its label, or --token N.")
    client = connection.connect(options)
    rows = _found(client, options.label)
    chosen = [row for row in rows if options.token in (None, row.token) and row.revoked is None]
    ended: list[int] = []
    for row in chosen:
        ended += client.post(f"/api/v1/tokens/{row.token}/revoke", Revocation(options.why), Revoked).revoked
    if options.json:
        write_json(Revoked(tuple(ended)))
    else:
        say(f"tokens revoked: {len(ended)}")
    return Exit.SUCCESS if ended else Exit.USAGE


NOUN = Noun(
    {
        "list": Verb("list tokens", "pilotext tokens list --all", _add_list_arguments, _list),
        "make": Verb(
            "make a token and print it",
            "pilotext tokens make node7 --role agent --days 90",
            _add_make_arguments,
            _make,
        ),
        "revoke": Verb(
            "revoke tokens",
            'pilotext tokens revoke node7 --why "it was in a mail"',
            _add_revoke_arguments,
            _revoke,
        ),
    },
    default="list",
)
