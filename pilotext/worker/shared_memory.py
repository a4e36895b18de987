"""Files in /dev/shm that processes of the payload had open: memory, though no process need map it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from pilotext.directory_tree import Walk
from pilotext.worker.disk_usage import BLOCK_BYTES, open_files

FOLDER = Path("/dev/shm")  # noqa: S108  whose files are memory

MAX_FILES = 10_000
"""Files that are remembered, and entries that are looked at."""


class SharedMemory:
    """Bytes in such files. They are looked for only when another part of the file system is used than before."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._used = -1
        self._seen: set[int] = set()
        self._bytes = 0

    def look(self, processes: Callable[[], Iterable[int]]) -> int:
        """Bytes in the files that these processes have open, or once had open and that are still there."""
        used = self._used_bytes()
        if used != self._used:
            self._used = used
            sizes = self._measured(processes()) if used else {}
            self._seen = set(sizes)
            self._bytes = sum(sizes.values())
        return self._bytes

    def _measured(self, processes: Iterable[int]) -> dict[int, int]:
        """Inode and bytes of each file."""
        device = self._folder.stat().st_dev
        opened = (found for found in open_files(processes) if found is not None and found.st_dev == device)
        sizes = {found.st_ino: found.st_blocks * BLOCK_BYTES for found in islice(opened, MAX_FILES)}
        for found in islice(Walk(self._folder), MAX_FILES) if self._seen else ():
            if found.st_ino in self._seen:
                sizes[found.st_ino] = found.st_blocks * BLOCK_BYTES
        return sizes

    def _used_bytes(self) -> int:
        try:
            system = os.statvfs(self._folder)
        except OSError:  # a system without it
            return 0
        return (system.f_blocks - system.f_bfree) * system.f_frsize
