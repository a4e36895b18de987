"""Reading of small files in places where somebody else may have put something else."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_ordinary(path: Path, max_bytes: int, *, follow: bool = True) -> bytes:
    """Return up to `max_bytes` of an ordinary file; a pipe or a device in its place is refused at once.

    Without `follow`, a link is refused, too. Raises OSError, and ValueError for a path that no file can have.
    """
    link = 0 if follow else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | link)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
        return file.read(max_bytes)
