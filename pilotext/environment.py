"""Environment variables of a node: where they place credentials, and which must not reach a wrapper or a payload."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

OF_THE_AGENT = ("PILOTEXT_TOKEN", "PILOTEXT_TOKEN_FILE", "PILOTEXT_SERVER", "PILOTEXT_SECRET_KEY")
"""Credentials of an agent or server of pilotext, which a wrapper does not need."""

OF_SERVERS = ("DATABASE_URL", "DJANGO_*", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "PANDA_AUTH_*")

CREDENTIALS = (
    "X509_USER_PROXY",
    "X509_USER_CERT",
    "X509_USER_KEY",
    "BEARER_TOKEN",
    "BEARER_TOKEN_FILE",
    "XrdSecSSSKT",
    "XrdSecGSI*",
)
"""With these the wrapper moves files; a job says in `credentials` which of them its payload needs, too."""

FOR_PAYLOADS = ("PILOTEXT_DEADLINE", "PILOTEXT_STANDIN", "PILOTEXT_STANDIN_*")
"""The only variables of ours that mean something to a payload; the latter to the stand-ins of the tests."""


def place_of_proxy(around: Mapping[str, str]) -> Path:
    """Return the place of the X.509 proxy, where the clients of the grid seek it."""
    return Path(around.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}")  # noqa: S108  its standard place


def places_of_tokens(around: Mapping[str, str]) -> list[Path]:
    """Return the places of bearer tokens, the first one of which counts.

    As the WLCG's Bearer Token Discovery (https://doi.org/10.5281/zenodo.3937438), which tries BEARER_TOKEN before.
    """
    named = [Path(path) for path in (around.get("BEARER_TOKEN_FILE"),) if path]
    return [*named, Path(around.get("XDG_RUNTIME_DIR") or "/tmp") / f"bt_u{os.getuid()}"]  # noqa: S108


def for_wrapper(around: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the secrets of an agent and of servers."""
    return {name: value for name, value in around.items() if not _is_any(name, (*OF_THE_AGENT, *OF_SERVERS))}


def for_payload(around: Mapping[str, str], credentials: Container[str] = ()) -> dict[str, str]:
    """Return what a payload and its setup script get of the wrapper's environment.

    All but the variables of pilotext and of servers; of those that name credentials, only the ones in `credentials`.
    """
    return {
        name: value
        for name, value in for_wrapper(around).items()
        if (not name.startswith("PILOTEXT_") or _is_any(name, FOR_PAYLOADS))
        and (not is_credential(name) or name in credentials)
    }


def is_credential(name: str) -> bool:
    """Whether a variable names a credential that payloads do not get unasked."""
    return _is_any(name, CREDENTIALS)


def _is_any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
