"""`pilotext server`: the production server, and what its administrator does at the console."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from pilotext.cli.arguments import FilePath, add_choice
from pilotext.cli.decisions import add_reason
from pilotext.cli.output import say
from pilotext.cli.parser import Noun, Verb
from pilotext.errors import UsageError
from pilotext.model.codes import Exit

if TYPE_CHECKING:
    from pilotext.server.production.transitions import Reason

THREADS = {"sqlite": 64, "postgresql": 32}
"""Threads of a web process by database; each may hold one connection to it, and PostgreSQL allows 100 by default."""

ROLES = ("viewer", "expert", "manager", "agent")
LISTEN = "127.0.0.1:8080"


def _add_database(parser: argparse.ArgumentParser) -> None:
    text = "sqlite:///FILE or postgresql://USER@HOST/NAME (default: DATABASE_URL, or sqlite:///pilotext.sqlite3)"
    parser.add_argument("--database", metavar="URL", help=text)


def _add_serving_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what web and cycle need: the cycle puts the address of the server into jobs."""
    _add_database(parser)
    text = f"the address to listen on (default: {LISTEN})"
    parser.add_argument("--listen", default=LISTEN, metavar="HOST:PORT", help=text)
    text = "where agents and workers reach the server (default: PILOTEXT_PUBLIC_URL, or http://HOST:PORT)"
    parser.add_argument("--public-url", metavar="URL", help=text)
    text = "threads of the web process (default: 64, with PostgreSQL 32)"
    parser.add_argument("--threads", type=int, metavar="N", help=text)
    text = "serve HTTPS with this certificate chain"
    parser.add_argument("--tls-certificate", action=FilePath, metavar="FILE", help=text)
    parser.add_argument("--tls-key", action=FilePath, metavar="FILE", help="the key of the certificate")


def _add_token_arguments(parser: argparse.ArgumentParser) -> None:
    _add_database(parser)
    add_choice(parser, "--role", ROLES, "what it allows (default: viewer)", default="viewer")
    _add_label(parser)
    parser.add_argument("--user", help="the user whose token it is; it never allows more than the user's role")
    parser.add_argument("--site", help="the only site that an agent with this token may ask for")
    add_reason(parser, default="at the console")


def _add_revoke_arguments(parser: argparse.ArgumentParser) -> None:
    _add_database(parser)
    _add_label(parser)
    add_reason(parser, default="at the console")


def _add_label(parser: argparse.ArgumentParser) -> None:
    text = "the name of the person or the node, for the audit trail"
    parser.add_argument("--label", required=True, help=text)


def _add_user_arguments(parser: argparse.ArgumentParser) -> None:
    _add_database(parser)
    parser.add_argument("--user", required=True, metavar="NAME", help="the user")
    roles = (*(role for role in ROLES if role != "agent"), "none")
    add_choice(parser, "--role", roles, "what the user may do (default: viewer)", default="viewer")
    parser.add_argument("--password-stdin", action="store_true", help="read the user's password from stdin")
    add_reason(parser, default="at the console")


def _add_certificate_arguments(parser: argparse.ArgumentParser) -> None:
    _add_database(parser)
    parser.add_argument("--user", required=True, metavar="NAME", help="the user")
    text = "the subject of the certificate, as the proxy writes it: CN=Maria Muster,O=CERN,C=CH"
    parser.add_argument("--subject", required=True, metavar="DN", help=text)
    parser.add_argument("--remove", action="store_true", help="it logs nobody in any more")
    add_reason(parser, default="at the console")


def _add_manage_arguments(parser: argparse.ArgumentParser) -> None:
    _add_database(parser)
    text = "a command of Django with its options, such as `dbshell`; `help` lists them"
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help=text)


def _serve_all(options: argparse.Namespace) -> int:
    """Make or upgrade the tables, then run a web and a cycle process until SIGTERM or SIGINT."""
    address, tls, threads = _set_up_serving(options)
    from pilotext.server import serve  # noqa: PLC0415  Django is not for the other verbs

    serve.check_address(*address)
    _migrate_database("")
    say(f"serving {os.environ['PILOTEXT_PUBLIC_URL']}; `pilotext server token` makes tokens", stream=2)
    files = () if tls is None else ("--tls-certificate", str(tls[0]), "--tls-key", str(tls[1]))
    serve.serve_all([("web", "--listen", options.listen, "--threads", str(threads), *files), ("cycle",)])
    return Exit.SUCCESS


def _serve_web(options: argparse.Namespace) -> int:
    (host, port), tls, threads = _set_up_serving(options)
    from pilotext.server import boot, serve  # noqa: PLC0415  Django is not for the other verbs

    serve.check_address(host, port)
    with _database_errors():
        boot.check_connections(threads)
    serve.serve_web(host, port, threads, tls)
    return Exit.SUCCESS


def _serve_cycle(options: argparse.Namespace) -> int:
    _set_up_serving(options)
    from pilotext.server import serve  # noqa: PLC0415  Django is not for the other verbs

    serve.serve_cycle()
    return Exit.SUCCESS


def _migrate(options: argparse.Namespace) -> int:
    _set_up(options)
    _migrate_database(" is ready")
    return Exit.SUCCESS


def _migrate_database(said: str) -> None:
    from pilotext.server import boot  # noqa: PLC0415  Django is not for the other verbs

    with _database_errors():
        boot.migrate()
    say(f"database {boot.database_name()}{said}", stream=2)


def _token(options: argparse.Namespace) -> int:
    by = _set_up_access(options)
    from pilotext.server.production.access import tokens  # noqa: PLC0415  needs Django to be set up

    with _database_errors():
        say(tokens.issue(options.label, options.role, options.site, user=options.user, by=by))
    return Exit.SUCCESS


def _revoke(options: argparse.Namespace) -> int:
    by = _set_up_access(options)
    from pilotext.server.production import models  # noqa: PLC0415  needs Django to be set up
    from pilotext.server.production.access import tokens  # noqa: PLC0415

    with _database_errors():
        ended = tokens.revoke(models.Token.objects.filter(label=options.label), by)
    say(f"tokens revoked: {len(ended)}")
    return Exit.SUCCESS


def _user(options: argparse.Namespace) -> int:
    by = _set_up_access(options)
    from pilotext.server.production.access import people  # noqa: PLC0415  needs Django to be set up

    password = sys.stdin.readline().rstrip("\n") if options.password_stdin else None
    with _database_errors():
        people.set_user(options.user, None if options.role == "none" else options.role, by, password)
    return Exit.SUCCESS


def _certificate(options: argparse.Namespace) -> int:
    by = _set_up_access(options)
    from pilotext.server.production.access import people  # noqa: PLC0415  needs Django to be set up

    change = people.remove_certificate if options.remove else people.add_certificate
    with _database_errors():
        change(options.user, options.subject, by)
    return Exit.SUCCESS


def _manage(options: argparse.Namespace) -> int:
    """Run a management command of Django, which ends this process with its own status when it fails."""
    _set_up(options)
    from django.core.management import ManagementUtility  # noqa: PLC0415  Django is not for the other verbs

    with _database_errors():
        ManagementUtility(["pilotext server manage", *options.words]).execute()
    return Exit.SUCCESS


def _set_up_access(options: argparse.Namespace) -> Reason:
    """Prepare Django, and return who acts and why."""
    _set_up(options)
    from pilotext.server.production.transitions import Reason  # noqa: PLC0415  needs Django to be set up

    return Reason(f"{getpass.getuser()} at the console", options.why, "person")


def _set_up_serving(options: argparse.Namespace) -> tuple[tuple[str, int], tuple[Path, Path] | None, int]:
    """Prepare Django to serve; return the address, certificate and key, and the number of threads."""
    address, tls = _address(options.listen), _tls(options)
    os.environ.setdefault("PILOTEXT_PUBLIC_URL", f"{'https' if tls else 'http'}://{options.listen}")
    if options.public_url is not None:
        os.environ["PILOTEXT_PUBLIC_URL"] = options.public_url
    _set_up(options)
    from pilotext.server import boot  # noqa: PLC0415  Django is not for the other verbs

    return address, tls, options.threads or THREADS[boot.database_vendor()]


def _set_up(options: argparse.Namespace) -> None:
    """Prepare Django with the database of the options."""
    try:
        from pilotext.server import boot, logs  # noqa: PLC0415  Django is not for the other verbs
        from pilotext.server.front.address import trusted_of  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"the server needs {error.name}.", advice="Install pilotext[server].") from None
    logs.set_up(os.environ.get("PILOTEXT_LOG_LEVEL", "INFO"))
    boot.boot(_without_password(options.database))
    boot.keep_private()
    trusted_of(os.environ)  # reports a mistake in it at once


@contextmanager
def _database_errors() -> Iterator[None]:
    """Make a database error a usage error; the URL, which may hold a password, is not in its message."""
    from django.db import DatabaseError  # noqa: PLC0415

    from pilotext.server import boot  # noqa: PLC0415

    try:
        yield
    except DatabaseError as error:
        said = str(error).strip().partition("\n")[0]
        advice = "Check --database or DATABASE_URL; `pilotext server migrate` makes the tables."
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
    """Return the certificate and the key for HTTPS, if they are given."""
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


NOUN = Noun(
    {
        "all": Verb(
            "make or upgrade the tables of the database, then run web and cycle",
            "pilotext server all --listen 127.0.0.1:8080",
            _add_serving_arguments,
            _serve_all,
        ),
        "web": Verb(
            "answer requests of agents, pilots and people",
            "pilotext server web --listen 0.0.0.0:8443 --tls-certificate chain.pem --tls-key key.pem",
            _add_serving_arguments,
            _serve_web,
        ),
        "cycle": Verb(
            "advance tasks, jobs and files; several cycles may run",
            "pilotext server cycle --public-url https://pilotext.cern.ch",
            _add_serving_arguments,
            _serve_cycle,
        ),
        "migrate": Verb(
            "make or upgrade the tables of the database",
            "pilotext server migrate --database sqlite:///pilotext.sqlite3",
            _add_database,
            _migrate,
        ),
        "token": Verb(
            "make a token and print it",
            "pilotext server token --role manager --label maria",
            _add_token_arguments,
            _token,
        ),
        "revoke": Verb(
            "revoke the tokens of a label",
            'pilotext server revoke --label node7 --why "it was in a mail"',
            _add_revoke_arguments,
            _revoke,
        ),
        "user": Verb(
            "make a user of the pages, or change the role or the password of one",
            "pilotext server user --user maria --role expert --password-stdin",
            _add_user_arguments,
            _user,
        ),
        "certificate": Verb(
            "let a client certificate log a user in, behind a proxy that verifies it; or no more",
            'pilotext server certificate --user maria --subject "CN=Maria Muster,O=CERN,C=CH"',
            _add_certificate_arguments,
            _certificate,
        ),
        "manage": Verb(
            "run a management command of Django on the database",
            "pilotext server manage showmigrations production",
            _add_manage_arguments,
            _manage,
        ),
    },
    default="all",
)
