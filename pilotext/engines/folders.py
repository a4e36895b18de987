"""The work folders of attempts below an agent's own: each held while anybody works in it, removed when nobody does."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "attempt-"


def folder_of(attempt: int, below: Path) -> Path:
    return below / f"{_PREFIX}{attempt}"


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Make the folder, and yield a descriptor that holds it, also in every process that inherits that."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def remove_abandoned(below: Path) -> list[str]:
    """Remove what killed agents have left behind; returns the names of the folders."""
    return [folder.name for folder in sorted(below.glob(f"{_PREFIX}*")) if folder.is_dir() and _removed(folder)]


def _removed(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # another agent here, or a wrapper that is just ending
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)
