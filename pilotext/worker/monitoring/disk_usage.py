"""Disk that the work directory of a payload takes, and shared memory that its processes have open."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

from pilotext.directory_tree import Walk

MAX_ENTRIES_PER_LOOK = 500
MAX_LOOK_S = 0.02
"""Seconds of one look; on a slow file system fewer entries are read."""

MAX_HARD_LINKS = 20_000
"""Files with several names that are remembered, to count each once; further ones count for each of their names."""

MAX_DESCRIPTORS = 20_000
"""Open files of the payload that are checked in one walk."""

PROBE_BYTES = 65_536
"""Bytes that must find room on a disk that is not full."""

BLOCK_BYTES = 512
"""The unit of `st_blocks`, whatever the file system (stat(2))."""


class DiskUsage:
    """Measures a work directory anew every `every_s` seconds, a portion at each look.

    `processes` tells the payload's processes. `too_deep` is whether the last walk met folders that are too deep for
    it, so that what they hold is not known.
    """

    def __init__(self, directory: Path, every_s: float, processes: Callable[[], Iterable[int]]) -> None:
        self.too_deep = False
        self._directory = directory
        self._every_s = every_s
        self._processes = processes
        self._bytes = 0
        self._so_far = 0
        self._next_at_s = 0.0
        self._walk: Walk | None = None
        self._entries: Iterator[os.stat_result | None] = iter(())
        self._linked: set[tuple[int, int]] = set()

    @property
    def walking(self) -> bool:
        """Whether a walk has begun and goes on at the next look."""
        return self._walk is not None

    def look(self, at_s: float) -> int:
        """Bytes on disk: of the last whole walk, or of the one that goes on where that has found more already."""
        if self._walk is None:
            if at_s < self._next_at_s:
                return self._bytes
            self._begin(at_s)
        self._go_on()
        return max(self._bytes, self._so_far)

    def _begin(self, at_s: float) -> None:
        self._next_at_s = at_s + self._every_s
        self._walk = Walk(self._directory)
        self._entries = _and_removed(self._walk, self._directory, self._processes())
        self._so_far = 0
        self._linked.clear()

    def _go_on(self) -> None:
        end = time.monotonic() + MAX_LOOK_S
        try:
            for _ in range(MAX_ENTRIES_PER_LOOK):
                if (entry := next(self._entries)) is not None:
                    self._count(entry)
                if time.monotonic() >= end:
                    return
        except StopIteration:
            self._bytes = self._so_far
            self.too_deep = self._walk is not None and self._walk.too_deep > 0
            self._walk = None
        except OSError:  # removed, or moved under our feet: what was found counts until the next walk
            self._bytes = max(self._bytes, self._so_far)
            self._walk = None

    def _count(self, found: os.stat_result) -> None:
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            identity = (found.st_dev, found.st_ino)
            if identity in self._linked:
                return
            if len(self._linked) < MAX_HARD_LINKS:
                self._linked.add(identity)
        self._so_far += found.st_blocks * BLOCK_BYTES


def why_full(directory: Path) -> str:
    """Return why nothing can be written in a directory (no space, no inodes, a quota); empty where something can."""
    try:
        with TemporaryFile(dir=directory, buffering=0) as probe:
            probe.write(bytes(PROBE_BYTES))
            os.fsync(probe.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error.strerror or str(error)
    return ""


def _and_removed(walk: Walk, directory: Path, processes: Iterable[int]) -> Iterator[os.stat_result | None]:
    """The entries of the tree, then the removed files that are still open; None for what counts for nothing."""
    device = directory.stat().st_dev
    yield from walk
    seen: set[int] = set()
    for found in open_files(processes):
        removed = found is not None and found.st_nlink == 0 and found.st_dev == device and found.st_ino not in seen
        if found is None or not removed:
            yield None
        else:
            seen.add(found.st_ino)
            yield found


def open_files(processes: Iterable[int]) -> Iterator[os.stat_result | None]:
    """Every regular file that these processes hold open, as far as we may see that; None for each other descriptor."""
    left = MAX_DESCRIPTORS
    for process in processes:
        try:
            descriptors = os.scandir(f"/proc/{process}/fd")
        except OSError:  # it has ended, or has become another user's
            continue
        with descriptors:
            for descriptor in descriptors:
                if not left:
                    return
                left -= 1
                yield _regular(descriptor.path)


def _regular(path: str) -> os.stat_result | None:
    try:
        found = os.stat(path)  # noqa: PTH116  of the open file, whatever has become of its name
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


FOLDER = Path("/dev/shm")  # noqa: S108  whose files are memory

MAX_FILES = 10_000
"""Files that are remembered, and entries that are checked."""


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
