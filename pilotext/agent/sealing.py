"""Files of an agent that nobody else can make, and attempts' tokens in them that nobody else can read.

The key is that of the agent's site, which the server keeps and tells agents alone, or comes from the agent's own token
where the server has none. It stands in no file of the agent's: a program of the same user can read and write the files,
and gains nothing by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pilotext.directory_tree import remove_tree
from pilotext.errors import FieldError
from pilotext.ordinary_file import read_ordinary

MAX_FILE_BYTES = 64_000_000

_NONCE_BYTES = 16
_HEAD_BYTES = 65
"""HMAC-SHA256 in hexadecimal digits, and the end of the line."""


class Seal:
    """Seals and opens what an agent keeps on disk: seals with the first of its keys, opens with each."""

    def __init__(self, *secrets_of_agent: str) -> None:
        self._keys = [_Key.of(secret) for secret in secrets_of_agent]

    def prefer(self, secret: str) -> None:
        """Seal with this secret from now on; what was sealed with others can still be opened."""
        key = _Key.of(secret)
        self._keys = [key, *(other for other in self._keys if other != key)]

    def sign(self, content: bytes) -> bytes:
        """Return the content with a head line that proves where it comes from."""
        return self._keys[0].head(content) + content

    def opened(self, signed: bytes, where: str) -> Opened:
        """Return the content with its key. Raises FieldError if no agent with one of these keys wrote it so."""
        content = memoryview(signed)[_HEAD_BYTES:]  # no copy of what anybody may have put there
        for key in self._keys:
            if hmac.compare_digest(signed[:_HEAD_BYTES], key.head(content)):
                return Opened(bytes(content), key)
        raise FieldError("", "no agent of this site wrote this, or it was changed since.", where=where)

    def hide(self, secret: str) -> str:
        """Return a short secret in a form that only this seal can open."""
        return self._keys[0].hide(secret)


@dataclass(frozen=True)
class Opened:
    """Content of a sealed file, and the key that opens the secrets in it."""

    content: bytes
    key: _Key

    def show(self, hidden: str) -> str:
        """Return a secret that was hidden."""
        return self.key.show(hidden)


@dataclass(frozen=True)
class _Key:
    """A key made of a secret; only its owner can make a head line or a pad of it."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: str) -> Self:
        return cls(hmac.digest(secret.encode(), b"pilotext agent files", "sha256"))

    def head(self, content: bytes | memoryview) -> bytes:
        mac = hmac.new(self._key, b"content", "sha256")
        mac.update(content)
        return mac.hexdigest().encode() + b"\n"

    def hide(self, secret: str) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = secret.encode()
        return (nonce + _xor(data, self._pad(nonce, len(data)))).hex()

    def show(self, hidden: str) -> str:
        data = bytes.fromhex(hidden)
        nonce, rest = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        return _xor(rest, self._pad(nonce, len(rest))).decode()

    def _pad(self, nonce: bytes, size: int) -> bytes:
        """Return a pad that is used once, as the nonce is."""
        pad = b"".join(
            hmac.digest(self._key, b"pad" + nonce + part.to_bytes(4, "big"), hashlib.sha512)
            for part in range(size // 64 + 1)
        )
        return pad[:size]


def _xor(data: bytes, pad: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(data, pad, strict=True))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file for its owner alone, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def put_aside(path: Path, suffix: str) -> None:
    """Give a file that is of no use another suffix, whatever it is and has that name; where that fails it stays."""
    aside = path.with_suffix(suffix)
    remove_tree(aside)
    with contextlib.suppress(OSError):
        path.rename(aside)


def read_own(path: Path) -> bytes:
    """Return the content of an ordinary file of bounded size, whatever was put in its place. Raises OSError."""
    data = read_ordinary(path, MAX_FILE_BYTES + 1, follow=False)
    if len(data) > MAX_FILE_BYTES:
        raise OSError(f"{path}: it is too large")
    return data
