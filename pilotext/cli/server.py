"""`pilotext server`: the production server."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pilotext.cli.output import say
from pilotext.errors import UsageError
from pilotext.model.codes import Exit

THREADS = {"sqlite": 64, "postgresql": 32}
"""Of a web process, by database; each may hold one connection to it, and PostgreSQL has 100 of them by default."""

ROLES = ("viewer", "expert", "manager", "agent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "part",
        nargs="?",
        choices=("all", "web", "cycle", "migrate", "token", "revoke", "user"),
        default="all",
        help="all: migrate, then web and cycle; web or cycle alone, several cycles may run; migrate; "
        "token: make one; revoke: end those of a label; user: make one, or change what one may",
    )
    parser.add_argument("--database", metavar="URL", help="sqlite:///FILE or postgresql://… (default: DATABASE_URL)")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="(default: 127.0.0.1:8080)")
    parser.add_argument("--public-url", metavar="URL", help="where agents reach the server (default: http://HOST:PORT)")
    parser.add_argument("--threads", type=int, metavar="N", help="of web (default: 64, with PostgreSQL 32)")
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="serve HTTPS with this certificate chain")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="and its key")
    parser.add_argument("--role", choices=(*ROLES, "none"), default="viewer", help="of token or user (default: viewer)")
    parser.add_argument("--label", default="", help="whose token it is; it stands in the audit trail")
    parser.add_argument("--user", help="the user whose token it is, who can do less with it when they may less")
    parser.add_argument("--password-stdin", action="store_true", help="read the user's password from stdin")
    parser.add_argument("--why", default="at the console", help="the reason; it stands in the audit trail")
    parser.add_argument("--site", help="the only site that an agent with this token may ask for")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop, or do the one thing that was asked for."""
    host, port = _address(options.listen)
    tls = _tls(options)
    os.environ.setdefault("PILOTEXT_PUBLIC_URL", f"{'https' if tls else 'http'}://{options.listen}")
    if options.public_url is not None:
        os.environ["PILOTEXT_PUBLIC_URL"] = options.public_url
    try:
        from pilotext.server import boot, logs, serve  # noqa: PLC0415  Django is not for the other verbs
        from pilotext.server.front.address import trusted_of  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"the server needs {error.name}.", advice="Install pilotext[server].") from None
    logs.set_up(os.environ.get("PILOTEXT_LOG_LEVEL", "INFO"))
    boot.boot(_without_password(options.database))
    boot.keep_private()
    trusted_of(os.environ)  # a mistake in it is told at once
    threads = options.threads or THREADS[boot.database_vendor()]
    if options.part in ("all", "migrate"):
        with _database_told():
            boot.migrate()
        say(f"database {boot.database_name()}{' is ready' if options.part == 'migrate' else ''}", stream=2)
    if options.part == "all":
        say(f"serving {os.environ['PILOTEXT_PUBLIC_URL']}; `pilotext server token` makes tokens", stream=2)
        files = () if tls is None else ("--tls-certificate", str(tls[0]), "--tls-key", str(tls[1]))
        web = ("web", "--listen", options.listen, "--threads", str(threads), *files)
        serve.serve_all([web, ("cycle",)])
    elif options.part == "web":
        with _database_told():
            boot.check_connections(threads)
        serve.serve_web(host, port, threads, tls)
    elif options.part == "cycle":
        serve.serve_cycle()
    elif options.part in ("token", "revoke", "user"):
        with _database_told():
            _access(options)
    return Exit.SUCCESS


@contextmanager
def _database_told() -> Iterator[None]:
    """A database that is away, or was never made, is no bug; its URL, which may hold a password, is not told."""
    from django.db import DatabaseError  # noqa: PLC0415

    from pilotext.server import boot  # noqa: PLC0415

    try:
        yield
    except DatabaseError as error:
        said = str(error).strip().partition("\n")[0]
        advice = "Is it the right --database or DATABASE_URL? `pilotext server migrate` makes its tables."
        raise UsageError(f"the database {boot.database_name()} cannot be used: {said}.", advice=advice) from None


def _holds_password(database: str) -> bool:
    parts = urlsplit(database)
    return bool(parts.password) or "password" in dict(parse_qsl(parts.query))


def _without_password(database: str | None) -> str | None:
    """Raise UsageError for a password on the command line, which every user of the machine can read."""
    try:
        secret = database is not None and _holds_password(database)
    except ValueError:
        secret = False  # what is wrong with it is said where it is read
    if secret:
        raise UsageError(
            "--database holds a password, and every user of this machine can read a command line.",
            advice="Give the URL in DATABASE_URL, or the password in ~/.pgpass or PGPASSWORD.",
        )
    return database


def _tls(options: argparse.Namespace) -> tuple[Path, Path] | None:
    files = (options.tls_certificate, options.tls_key)
    if files == (None, None):
        return None
    for path in files:
        if path is None or not path.is_file():
            raise UsageError("HTTPS needs a certificate and a key.", advice="Give --tls-certificate and --tls-key.")
    return files


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--listen {text}: this is not HOST:PORT.")
    return host.strip("[]"), int(port)


def _access(options: argparse.Namespace) -> None:
    """Who may what: tokens and users, by whoever has the database."""
    from pilotext.server.production import models, people, tokens  # noqa: PLC0415  needs Django to be set up
    from pilotext.server.production.advance import Reason  # noqa: PLC0415

    by = Reason(f"{getpass.getuser()} at the console", options.why, "person")
    if options.part == "user":
        if not options.user or options.role == "agent":
            raise UsageError("a user has a name and a role.", advice="Give --user and --role.")
        password = sys.stdin.readline().rstrip("\n") if options.password_stdin else None
        people.set_user(options.user, None if options.role == "none" else options.role, by, password)
        return
    if not options.label:
        raise UsageError("a token needs a --label, such as the name of the person or the node.")
    if options.part == "revoke":
        ended = tokens.revoke(models.Token.objects.filter(label=options.label), by)
        say(f"tokens revoked: {len(ended)}")
        return
    if options.role == "none":
        raise UsageError("a token without a role is good for nothing.")
    say(tokens.issue(options.label, options.role, options.site, user=options.user, by=by))
