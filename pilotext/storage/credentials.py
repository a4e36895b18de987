"""Credentials with which storage is reached from this machine: where they are, and when they end.

A proxy is sought in one place. A token is that of BEARER_TOKEN, or the first place of a file.
"""

from __future__ import annotations

import base64
import binascii
import math
import shlex
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import msgspec

from pilotext.environment import place_of_proxy, places_of_tokens
from pilotext.errors import UsageError
from pilotext.formatting import duration
from pilotext.model import Record
from pilotext.ordinary_file import read_ordinary
from pilotext.serialization.json import ready

KINDS = "PILOTEXT_CREDENTIAL_KINDS"
REFRESH = "PILOTEXT_CREDENTIAL_REFRESH"

CredentialKind = Literal["proxy", "token"]

CLOCKS_DIFFER_S = 300.0

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
    """Return what PILOTEXT_CREDENTIAL_KINDS and PILOTEXT_CREDENTIAL_REFRESH say. Raises UsageError."""
    known = get_args(CredentialKind)
    kinds = list(dict.fromkeys(word.strip() for word in environ.get(KINDS, "").split(",") if word.strip()))
    if wrong := [kind for kind in kinds if kind not in known]:
        raise UsageError(
            f"{KINDS} names {wrong[0]!r:.40}, which is no kind of credential.",
            advice=f"Write one or several of {', '.join(known)}, with commas between.",
        )
    try:
        refresh = shlex.split(environ.get(REFRESH, ""))
    except ValueError as error:
        advice = "Write it as in a shell, every quote closed."
        raise UsageError(f"{REFRESH} is no command: {error}.", advice=advice) from None
    if refresh and not kinds:
        advice = f"Set {KINDS} to proxy, token or both."
        raise UsageError(f"{REFRESH} is set, and {KINDS} does not say what it renews.", advice=advice)
    return CredentialSettings(tuple(msgspec.convert(kind, ready(CredentialKind)) for kind in kinds), tuple(refresh))


def find_credential(kind: CredentialKind, environ: Mapping[str, str]) -> Credential:
    """Return the credential of a kind as it is now; without a readable file its end is None."""
    if kind == "proxy":
        path = place_of_proxy(environ)
        return Credential(kind, str(path), _end(_end_of_proxy, partial(_content, path)))
    if token := environ.get("BEARER_TOKEN"):
        return Credential(kind, "BEARER_TOKEN", _end(_end_of_token, token.encode))
    path = places_of_tokens(environ)[0]
    return Credential(kind, str(path), _end(_end_of_token, partial(_content, path)))


def _end(end_of: Callable[[bytes], float], content: Callable[[], bytes]) -> float | None:
    """Return the end of a credential; None where its content cannot be read, or is none."""
    try:
        return end_of(content())
    except (OSError, ValueError):
        return None


def _content(path: Path) -> bytes:
    data = read_ordinary(path, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError("too large for a credential")
    return data


def _end_of_proxy(data: bytes) -> float:
    """Return the first end of all certificates in a file. Raises ValueError without one that holds now."""
    from cryptography import x509  # noqa: PLC0415  only where credentials are watched

    try:
        found = x509.load_pem_x509_certificates(data)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error
    if len(found) != data.count(b"-----BEGIN CERTIFICATE-----"):
        raise ValueError("a certificate that is cut off")
    if max(each.not_valid_before_utc.timestamp() for each in found) > time.time() + CLOCKS_DIFFER_S:
        raise ValueError("not valid yet")
    return min(each.not_valid_after_utc.timestamp() for each in found)


def _end_of_token(data: bytes) -> float:
    """Return the end that a JSON Web Token names; infinite for other tokens. Raises ValueError without a token."""
    token = data.decode("ascii").strip()
    if not token or any(character <= " " for character in token):
        raise ValueError("no token, or several")
    parts = token.split(".")
    if len(parts) != 3:
        return math.inf
    try:
        content = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(content, type=ready(_Claims), strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    except (binascii.Error, msgspec.DecodeError, RecursionError):  # another kind of token
        return math.inf
    if claims.exp is None:
        return math.inf
    if not 0 <= claims.exp <= _LAST:
        raise ValueError("an end that is no time in seconds")
    return claims.exp


def told_end(credential: Credential, now: float) -> str:
    """Return the words about the end of a credential, such as `ends in 0:03:00 h, at …`."""
    if credential.ends is None:
        return "is missing or cannot be read"
    if credential.ends == math.inf:
        return "names no end"
    when = f"{datetime.fromtimestamp(credential.ends, UTC):%Y-%m-%d %H:%M} UTC"
    if credential.ends <= now:
        return f"has ended at {when}"
    return f"ends in {duration(round(credential.left_s(now)))}, at {when}"
