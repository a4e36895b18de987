"""The server that a verb talks to: its address, the token, and lists that come in pages."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from pilotext.api.client import Client
from pilotext.cli.output import say
from pilotext.errors import UsageError

T = TypeVar("T")

MAX_PAGE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="URL", help="the address of the server (default: PILOTEXT_SERVER)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def add_csv(parser: argparse.ArgumentParser) -> None:
    """Add `--csv`, for lists."""
    parser.add_argument("--csv", action="store_true", help="print comma-separated values, the same as of the pages")


def add_limit(parser: argparse.ArgumentParser, default: int = 100) -> None:
    parser.add_argument("--limit", type=int, default=default, metavar="N", help=f"list at most N (default: {default})")


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add `--url`, for verbs about one object that has a page."""
    parser.add_argument("--url", action="store_true", help="print only the address of its page")


def page_of(options: argparse.Namespace, path: str) -> str:
    """Return the address of a page, with the server that the options or the environment name."""
    return f"{(options.server or os.environ.get('PILOTEXT_SERVER') or '').rstrip('/')}{path}"


def tell_page(url: str) -> None:
    """Print the address of a page on a terminal; programs that read our output ask for it by `--url`."""
    if sys.stdout.isatty():
        say(f"page: {url}")


def address(options: argparse.Namespace) -> tuple[str, str]:
    """Return the server's URL, and the token from PILOTEXT_TOKEN or from the file that PILOTEXT_TOKEN_FILE names.

    The token is removed from the environment, which programs that we start inherit. Raises UsageError when URL or
    token is missing.
    """
    url = options.server or os.environ.get("PILOTEXT_SERVER")
    token = os.environ.pop("PILOTEXT_TOKEN", "") or token_in_file(os.environ.get("PILOTEXT_TOKEN_FILE", ""))
    if not url:
        raise UsageError("the address of the server is missing.", advice="Give --server URL, or set PILOTEXT_SERVER.")
    if not token:
        raise UsageError(
            "the token is missing.", advice="Put it into PILOTEXT_TOKEN, or its file's name into PILOTEXT_TOKEN_FILE."
        )
    return url, token


def token_in_file(name: str) -> str:
    if not name:
        return ""
    try:
        return Path(name).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise UsageError(f"{name}: the token cannot be read: {why}.", advice="See PILOTEXT_TOKEN_FILE.") from None


def connect(options: argparse.Namespace) -> Client:
    return Client(*address(options))


def fetch_rows(client: Client, path: str, kind: type[T], query: dict[str, Any], *, name: str, limit: int) -> list[Any]:
    """Return up to `limit` rows of a list, fetched page by page; `name` is the field of the rows."""
    found: list[Any] = []
    begin: dict[str, int] = {}  # of the first page: a run may have the number 0
    while len(found) < limit:
        page: Any = client.get(path, kind, {**query, **begin, "limit": min(MAX_PAGE, limit - len(found))})
        found += getattr(page, name)
        if page.next is None:
            break
        begin = {"after": page.next}
    return found
