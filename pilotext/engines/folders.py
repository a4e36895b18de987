"""The work folders of attempts below an agent's own: each held while anybody works in it, removed when nobody does."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "attempt-"
_REMOVE_WITHIN_S = 600.0


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


def remove_tree(folder: Path) -> bool:
    """Remove a folder that a payload could write to; returns whether it is gone.

    rm(1) walks trees of any depth, and with any names, where shutil.rmtree ends by an exception.
    """
    where = str(folder.absolute())
    commands = (["rm", "-rf", "--", where], ["chmod", "-R", "u+rwX", "--", where], ["rm", "-rf", "--", where])
    for command in commands:  # the second for folders that were closed to their owner
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_REMOVE_WITHIN_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        if not os.path.lexists(folder):
            return True
    return False


def remove_abandoned(below: Path) -> list[str]:
    """Remove what killed agents have left behind; returns the names of the folders."""
    return [folder.name for folder in sorted(below.glob(f"{_PREFIX}*")) if folder.is_dir() and _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # its owner may not read it, so nobody works there
        return remove_tree(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # another agent here, or a wrapper that is just ending
    else:
        return remove_tree(folder)
    finally:
        os.close(descriptor)
