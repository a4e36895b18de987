"""The work folders of attempts below an agent's own: each held while anybody works in it, removed when nobody does."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pilotext.directory_tree import remove_tree

_PREFIX = "attempt-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def folder_of(attempt: int, below: Path) -> Path:
    return below / f"{_PREFIX}{attempt}"


def make_new(folder: Path) -> Path:
    """Make the folder of an attempt anew, and return it; another one where somebody works in that, or it cannot go.

    An earlier payload can have put something there; a server whose database was restored gives numbers of attempts out
    again, while the earlier ones run. Raises OSError.
    """
    if (folder.exists() or folder.is_symlink()) and not _removed(folder):
        folder = folder.with_name(f"{folder.name}-{secrets.token_hex(6)}")
    folder.mkdir(parents=True)
    return folder


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Make the folder, and yield a descriptor that holds it, also in every process that inherits that.

    A file or link of its name, which only another payload can have put there, is removed.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        remove_tree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, _FOLDER)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def open_own(path: Path) -> int | None:
    """Return a descriptor of a file, made anew where a payload has put something else; None where that cannot be."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            remove_tree(path)
    except OSError:  # it is not there
        pass
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError:
        return None


def remove_abandoned(below: Path) -> list[str]:
    """Remove what killed agents have left behind; returns the names of the folders."""
    return [folder.name for folder in sorted(below.glob(f"{_PREFIX}*")) if folder.is_dir() and _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError:  # a link, or closed by its mode: no agent holds such a folder
        return remove_tree(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # another agent here, or a wrapper that is just ending
    else:
        return remove_tree(folder)
    finally:
        os.close(descriptor)
