"""Which server a verb talks to, and as whom."""

from __future__ import annotations

import argparse
import os

from pilotext.engines.client import Client
from pilotext.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="URL", help="the server (default: PILOTEXT_SERVER)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def address(options: argparse.Namespace) -> tuple[str, str]:
    """The server's URL, and the token from PILOTEXT_TOKEN. Raises UsageError when one of them is missing."""
    url = options.server or os.environ.get("PILOTEXT_SERVER")
    token = os.environ.get("PILOTEXT_TOKEN", "")
    if not url:
        raise UsageError("which server?", advice="Give --server URL, or set PILOTEXT_SERVER.")
    if not token:
        raise UsageError("no token.", advice="Put it into PILOTEXT_TOKEN; `pilotext server token` makes one.")
    return url, token


def connect(options: argparse.Namespace) -> Client:
    return Client(*address(options))
