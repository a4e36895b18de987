"""Files of an agent that nobody else can make, and attempts' tokens in them that nobody else can read.

The key comes from the agent's own token, which stands in no file of the agent's: a program of the same user can read
and write the files, and gains nothing by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import threading
from pathlib import Path

from pilotext.directory_tree import remove_tree
from pilotext.errors import FieldError
from pilotext.ordinary_file import read_ordinary

MAX_FILE_BYTES = 64_000_000

_NONCE_BYTES = 16
_MAC_CHARACTERS = 64


class Seal:
    """Seals and opens what an agent with this token keeps on disk."""

    def __init__(self, token: str) -> None:
        self._key = hmac.digest(token.encode(), b"pilotext agent files", "sha256")

    def sign(self, content: bytes) -> bytes:
        """Return the content with a head line that proves where it comes from."""
        return self._mac(content).encode() + b"\n" + content

    def verified(self, signed: bytes, where: str) -> bytes:
        """Return the content. Raises FieldError if it is not as an agent with this token wrote it."""
        content = memoryview(signed)[_MAC_CHARACTERS + 1 :]  # no copy of what anybody may have put there
        if not hmac.compare_digest(signed[: _MAC_CHARACTERS + 1], self._mac(content).encode() + b"\n"):
            raise FieldError(
                "", "this was not written, or was changed since, by an agent with this token.", where=where
            )
        return bytes(content)

    def hide(self, secret: str) -> str:
        """Return a short secret in a form that only this seal can open."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = secret.encode()
        return (nonce + _xor(data, self._pad(nonce, len(data)))).hex()

    def show(self, hidden: str) -> str:
        """Return a secret that was hidden."""
        data = bytes.fromhex(hidden)
        nonce, rest = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        return _xor(rest, self._pad(nonce, len(rest))).decode()

    def _mac(self, content: bytes | memoryview) -> str:
        mac = hmac.new(self._key, b"content", "sha256")
        mac.update(content)
        return mac.hexdigest()

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
