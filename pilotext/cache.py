"""What was made once and is made the same each time, kept for the next run: it saves time and nothing else.

The folder is PILOTEXT_CACHE, else `pilotext` in XDG_CACHE_HOME or `~/.cache`; with PILOTEXT_CACHE empty nothing is
kept. A folder that others could write to is not trusted. Whatever goes wrong here, things are made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

MOST_FILES = 64
"""More than so many are not kept; the oldest goes first."""

_SUFFIX = ".pilotext"
"""Of all our files and of no others: the folder may be one that holds more than this cache."""

_DIGEST_BYTES = 32


def get(name: str) -> bytes | None:
    """What was kept under this name, whole; None if there is nothing."""
    folder = _folder()
    if folder is None:
        return None
    try:
        if not _is_ours_alone(folder):
            return None
        data = _file(folder, name).read_bytes()
    except OSError:
        return None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def put(name: str, content: bytes) -> None:
    """Keep this under a name that says all that it was made of; it is there whole or not at all."""
    folder = _folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):  # a cache that cannot be written is no cache, and no failure
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_ours_alone(folder):
            _write(_file(folder, name), hashlib.sha256(content).digest() + content)
            _forget_oldest(folder)


def _file(folder: Path, name: str) -> Path:
    return folder / (name + _SUFFIX)


def _write(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=_SUFFIX)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  a handle
            file.write(data)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _forget_oldest(folder: Path) -> None:
    files = sorted(
        (path for path in folder.iterdir() if path.name.endswith(_SUFFIX)), key=lambda path: path.stat().st_mtime
    )
    for path in files[:-MOST_FILES]:
        path.unlink(missing_ok=True)


def _is_ours_alone(folder: Path) -> bool:
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _folder() -> Path | None:
    named = os.environ.get("PILOTEXT_CACHE")
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "pilotext"
    except RuntimeError:  # no home
        return None
