"""Reading a file that another program is writing."""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path


class Tail:
    """What is appended to a file, as it comes. Reading never waits, and never raises.

    The file may not exist yet, and it may vanish: what was open can still be read. `problem` says why a file that is
    there could not be read; without `follow_links`, a link cannot.
    """

    def __init__(self, path: Path, *, follow_links: bool = True) -> None:
        self.path = path
        self._no_link = 0 if follow_links else os.O_NOFOLLOW
        self.problem = ""
        self.existed = False
        self._file: FileIO | None = None
        self._position = 0

    def read(self, most: int) -> bytes:
        """At most `most` bytes that were not read yet; empty if there are none now."""
        try:
            if self._file is None:
                self._file = self._open()
            data = (self._file.read(most) or b"") if self._file else b""
        except OSError as error:
            self.problem = error.strerror or str(error)
            return b""
        self._position += len(data)
        return data

    def begins_anew(self) -> bool:
        """Whether the file was truncated or replaced; then `read` goes on at the begin of the new content."""
        here, there = self._open_file(), self._named_file()
        if here is None or there is None:  # not there yet, or only its name is gone
            return False
        if os.path.samestat(here, there) and here.st_size >= self._position:
            return False
        self.close()
        self._position = 0
        return True

    def left(self) -> int:
        """Bytes that can be read now, at most: a file that grows for ever is not read for ever."""
        here, there = self._open_file(), self._named_file()
        return (here.st_size - self._position if here else 0) + (there.st_size if there else 0)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> FileIO | None:
        """The file, if it is there and holds bytes: a pipe would make us wait, a directory cannot be read."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | self._no_link)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            self.problem = "not a regular file"
            return None
        self.existed = True
        return FileIO(handle, "rb")

    def _open_file(self) -> os.stat_result | None:
        return self._stat(self._file.fileno()) if self._file else None

    def _named_file(self) -> os.stat_result | None:
        return self._stat(self.path)

    def _stat(self, what: Path | int) -> os.stat_result | None:
        try:
            follow = isinstance(what, int) or not self._no_link
            return os.stat(what, follow_symlinks=follow)  # noqa: PTH116 - of an open file, too
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem = error.strerror or str(error)
            return None
