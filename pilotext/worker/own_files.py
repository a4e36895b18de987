"""Files of the wrapper in a work directory that the payload can write, safe against what it puts in their place.

A folder, a link, a FIFO or a read-only mode makes the wrapper neither wait, write elsewhere, nor fail.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from io import FileIO
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file, whole or not at all: whoever reads it sees the old text or the new one. Raises OSError."""
    _open_up(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with FileIO(os.open(temporary, _NEW, mode), "wb") as file:
            _write_all(file, data)
        if _is_folder(path):
            move_away(path)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def create_file(path: Path) -> FileIO:
    """Open a new file of this name for writing; what has the name now is removed or moved away. Raises OSError."""
    _open_up(path.parent)
    move_away(path)
    return FileIO(os.open(path, _NEW, 0o644), "wb")


def move_away(path: Path) -> None:
    """Free a name: a folder gets another one, beginning with `.moved-`, anything else is removed. Raises OSError."""
    if _is_folder(path):
        path.rename(path.with_name(f".moved-{secrets.token_hex(6)}"))
    else:
        path.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _write_all(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _open_up(directory: Path) -> None:
    """Give ourselves, its owner, the rights in a directory that its mode denies us."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        with contextlib.suppress(PermissionError):  # another user's: the system decides whether we may write there
            directory.chmod(mode | stat.S_IRWXU)
