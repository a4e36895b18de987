"""Credentials with which storage is reached from this machine: where they are, and when they end.

A proxy is found as by the grid's clients: X509_USER_PROXY, else /tmp/x509up_u and the number of the user. A token is
found by the WLCG's Bearer Token Discovery (https://doi.org/10.5281/zenodo.3937438), as far as it names files.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec

from pilotext.errors import UsageError
from pilotext.model import Record
from pilotext.serialization.json import ready

CREDENTIALS = "PILOTEXT_CREDENTIALS"
REFRESH = "PILOTEXT_CREDENTIALS_REFRESH"

CredentialKind = Literal["proxy", "token"]

MAX_FILE_BYTES = 1_000_000
"""A proxy with the attributes of a large organisation has about 20 kB."""


_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class Credential(Record, frozen=True):
    """A credential, and its end in seconds since 1970: infinite where it names none; None without a readable one."""

    kind: CredentialKind
    path: str
    ends: float | None

    def left_s(self, now: float) -> float:
        """Return the seconds to its end; 0 when there is none, or it has ended."""
        return 0.0 if self.ends is None else max(0.0, self.ends - now)


class CredentialSettings(Record, frozen=True):
    """Kinds of credentials that storage asks for, and the words of the command that renews them."""

    kinds: tuple[CredentialKind, ...] = ()
    refresh: tuple[str, ...] = ()


class _Claims(msgspec.Struct):
    """The part of a token's content that is read; a token is not verified here, but by the storage."""

    exp: float | None = None


def credential_settings(environ: Mapping[str, str]) -> CredentialSettings:
    """Return what PILOTEXT_CREDENTIALS and PILOTEXT_CREDENTIALS_REFRESH say. Raises UsageError."""
    known = get_args(CredentialKind)
    kinds = [word.strip() for word in environ.get(CREDENTIALS, "").split(",") if word.strip()]
    if wrong := [kind for kind in kinds if kind not in known]:
        raise UsageError(
            f"{CREDENTIALS} names {wrong[0]!r:.40}, which is no kind of credential.",
            advice=f"Write one or several of {', '.join(known)}, with commas between.",
        )
    try:
        refresh = shlex.split(environ.get(REFRESH, ""))
    except ValueError as error:
        advice = "Write it as in a shell, every quote closed."
        raise UsageError(f"{REFRESH} is no command: {error}.", advice=advice) from None
    if refresh and not kinds:
        advice = f"Set {CREDENTIALS} to proxy, token or both."
        raise UsageError(f"{REFRESH} is set, and {CREDENTIALS} does not say what it renews.", advice=advice)
    return CredentialSettings(tuple(msgspec.convert(kind, ready(CredentialKind)) for kind in kinds), tuple(refresh))


def find_credential(kind: CredentialKind, environ: Mapping[str, str]) -> Credential:
    """Return the credential of a kind as it is now; without a readable file its end is None."""
    path = _path_of(kind, environ)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
        ends = _end_of_proxy(data) if kind == "proxy" else _end_of_token(data)
    except (OSError, ValueError):
        ends = None
    return Credential(kind, str(path), ends)


def _path_of(kind: CredentialKind, environ: Mapping[str, str]) -> Path:
    user = os.getuid()
    if kind == "proxy":
        return Path(environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{user}")  # noqa: S108  the grid's place
    if named := environ.get("BEARER_TOKEN_FILE"):
        return Path(named)
    return Path(environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"bt_u{user}"  # noqa: S108  the grid's place


def _end_of_proxy(data: bytes) -> float:
    """Return the first end of all certificates in a file. Raises ValueError without one."""
    from cryptography import x509  # noqa: PLC0415  only where credentials are watched

    return min(each.not_valid_after_utc.timestamp() for each in x509.load_pem_x509_certificates(data))


def _end_of_token(data: bytes) -> float:
    """Return the end that a JSON Web Token names; infinite for other tokens. Raises ValueError without a token."""
    token = data.decode("ascii").strip()
    if not token:
        raise ValueError("an empty file")
    parts = token.split(".")
    if len(parts) != 3:
        return math.inf
    try:
        content = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(content, type=ready(_Claims))
    except (binascii.Error, msgspec.DecodeError):
        return math.inf
    if claims.exp is None or claims.exp > _LAST:
        return math.inf
    return max(0.0, claims.exp)


def told_end(credential: Credential, now: float) -> str:
    """Return the words about the end of a credential, such as `ends in 3 min`."""
    if credential.ends is None:
        return "is missing or cannot be read"
    if credential.ends == math.inf:
        return "names no end"
    when = f"{datetime.fromtimestamp(credential.ends, UTC):%Y-%m-%d %H:%M} UTC"
    if credential.ends <= now:
        return f"has ended at {when}"
    return f"ends in {credential.left_s(now) / 60:.0f} min, at {when}"
