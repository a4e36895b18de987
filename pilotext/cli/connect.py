"""Which server a verb talks to, and as whom."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pilotext.api.client import Client
from pilotext.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="URL", help="the server (default: PILOTEXT_SERVER)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def address(options: argparse.Namespace) -> tuple[str, str]:
    """Return the server's URL, and the token from PILOTEXT_TOKEN or from the file that PILOTEXT_TOKEN_FILE names.

    The token is taken out of the environment, which programs that we start inherit. Raises UsageError when URL or
    token is missing.
    """
    url = options.server or os.environ.get("PILOTEXT_SERVER")
    token = os.environ.pop("PILOTEXT_TOKEN", "") or _token_in_file(os.environ.get("PILOTEXT_TOKEN_FILE", ""))
    if not url:
        raise UsageError("which server?", advice="Give --server URL, or set PILOTEXT_SERVER.")
    if not token:
        raise UsageError("no token.", advice="Put it into PILOTEXT_TOKEN, or its file's name into PILOTEXT_TOKEN_FILE.")
    return url, token


def _token_in_file(name: str) -> str:
    if not name:
        return ""
    try:
        return Path(name).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise UsageError(f"{name}: the token cannot be read: {why}.", advice="See PILOTEXT_TOKEN_FILE.") from None


def connect(options: argparse.Namespace) -> Client:
    return Client(*address(options))
