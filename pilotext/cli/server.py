"""`pilotext server`: the production server."""

from __future__ import annotations

import argparse
import os

from pilotext.cli.output import say
from pilotext.codes import Exit
from pilotext.errors import UsageError

THREADS = 64
ROLES = ("viewer", "expert", "manager", "agent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "part",
        nargs="?",
        choices=("all", "web", "cycle", "migrate", "token"),
        default="all",
        help="all: migrate, then web and cycle; web or cycle alone, several cycles may run; migrate; token: make one",
    )
    parser.add_argument("--database", metavar="URL", help="sqlite:///FILE or postgresql://… (default: DATABASE_URL)")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="(default: 127.0.0.1:8080)")
    parser.add_argument("--public-url", metavar="URL", help="where agents reach the server (default: http://HOST:PORT)")
    parser.add_argument("--threads", type=int, default=THREADS, metavar="N", help=f"of web (default: {THREADS})")
    parser.add_argument("--role", choices=ROLES, default="viewer", help="of the token (default: viewer)")
    parser.add_argument("--label", default="", help="whose token it is; it stands in the audit trail")
    parser.add_argument("--site", help="the only site that an agent with this token may ask for")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop, or do the one thing that was asked for."""
    host, port = _address(options.listen)
    os.environ.setdefault("PILOTEXT_PUBLIC_URL", f"http://{options.listen}")
    if options.public_url is not None:
        os.environ["PILOTEXT_PUBLIC_URL"] = options.public_url
    try:
        from pilotext.server import boot, logs, serve  # noqa: PLC0415  Django is not for the other verbs
    except ImportError as error:
        raise UsageError(f"the server needs {error.name}.", advice="Install pilotext[server].") from None
    logs.set_up(os.environ.get("PILOTEXT_LOG_LEVEL", "INFO"))
    boot.boot(options.database)
    if options.part in ("all", "migrate"):
        boot.migrate()
    if options.part == "all":
        web = ("web", "--listen", options.listen, "--threads", str(options.threads))
        serve.serve_all([web, ("cycle",)])
    elif options.part == "web":
        serve.serve_web(host, port, options.threads)
    elif options.part == "cycle":
        serve.serve_cycle()
    elif options.part == "token":
        say(_token(options))
    return Exit.SUCCESS


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--listen {text}: this is not HOST:PORT.")
    return host.strip("[]"), int(port)


def _token(options: argparse.Namespace) -> str:
    from pilotext.server.production.tokens import issue  # noqa: PLC0415  needs Django to be set up

    if not options.label:
        raise UsageError("a token needs a --label, such as the name of the person or the node.")
    return issue(options.label, options.role, options.site)
