"""Walks and removals of a directory tree whose shape somebody else has chosen.

Any depth, any length of a path, names that are no UTF-8, folders closed by their mode, millions of entries: a tree is
followed by one descriptor, from folder to folder (openat(2)), so neither recursion nor PATH_MAX limits it. Links are
never followed, other file systems never entered.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_DEPTH = 20_000
"""Levels below the top that are entered."""

MAX_DEPTH_REMOVED = 1000
"""The same for a removal: what is deeper is moved up before it is removed, so a tree of any depth goes."""

MAX_WAITING_FOLDERS = 20_000
"""Names of folders that are remembered at a time; a folder with more of them is read once more for the rest."""

MIN_WAITING_FOLDERS = 10
"""The same for one folder, however many are remembered for those above it."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class TreeChangedError(OSError):
    """A folder was moved while the tree was walked: the way up leads elsewhere."""


class _Place:
    """The folder of a tree that a walk is in: one descriptor, and the identities of the folders above."""

    def __init__(self, top: Path) -> None:
        self.fd = _opened(str(top))
        self._way = [_identity(os.fstat(self.fd))]

    @property
    def depth(self) -> int:
        return len(self._way) - 1

    def down(self, name: str) -> bool:
        """Enter a folder of this one; False where it is gone, no folder, on another file system, or too deep."""
        if self.depth >= MAX_DEPTH:
            return False
        try:
            below = _opened(name, self.fd)
        except OSError:
            return False
        found = _identity(os.fstat(below))
        if found[0] != self._way[0][0]:
            os.close(below)
            return False
        os.close(self.fd)
        self.fd = below
        self._way.append(found)
        return True

    def up(self) -> None:
        """Go back to the folder that this one was entered from. Raises TreeChangedError where it is another one."""
        above = os.open("..", _FOLDER, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = above
        self._way.pop()
        if _identity(os.fstat(above)) != self._way[-1]:
            raise TreeChangedError("a folder was moved while its tree was walked")

    def close(self) -> None:
        os.close(self.fd)


class Walk:
    """Every entry below a folder, as `os.stat_result` of the entry itself; the caller may stop at any time.

    `too_deep` counts folders that were not entered since they are more than MAX_DEPTH levels below the top. Iterating
    raises OSError where the top cannot be read, and TreeChangedError.
    """

    def __init__(self, top: Path) -> None:
        self.too_deep = 0
        self._top = top
        self._waiting = 0

    def __iter__(self) -> Iterator[os.stat_result]:
        place = _Place(self._top)
        self._waiting, self.too_deep = 0, 0
        try:
            yield from self._walk(place)
        finally:
            place.close()

    def _walk(self, place: _Place) -> Iterator[os.stat_result]:
        levels = [_Level()]
        while levels:
            level = levels[-1]
            if not level.folders and not level.whole:
                yield from self._read(place.fd, level)
            if not level.folders:
                levels.pop()
                if levels:
                    place.up()
                continue
            self._waiting -= 1
            if place.down(level.folders.pop()):
                levels.append(_Level())
            elif place.depth >= MAX_DEPTH:
                self.too_deep += 1

    def _read(self, fd: int, level: _Level) -> Iterator[os.stat_result]:
        """The entries of a folder from where it was left off, until enough of its own folders are remembered."""
        room = max(MIN_WAITING_FOLDERS, MAX_WAITING_FOLDERS - self._waiting)
        number = 0
        with _scanned(fd) as entries:
            for number, entry in enumerate(entries, start=1):
                if number <= level.read:
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:  # it has just gone
                    continue
                yield found
                if stat.S_ISDIR(found.st_mode):
                    level.folders.append(entry.name)
                    if len(level.folders) >= room:
                        break
            else:
                level.whole = True
        level.read = number
        self._waiting += len(level.folders)


class _Level:
    """Progress of reading a folder: entries so far, whether that is all, and folders still to be entered."""

    def __init__(self) -> None:
        self.read = 0
        self.whole = False
        self.folders: list[str] = []
        self.kept: set[str] = set()
        """Of a removal: what could not be removed."""


def remove_tree(top: Path) -> bool:
    """Remove a folder with everything below it, as far as the system lets us; whether it is gone.

    A link of this name is removed itself. Nobody else may be at work in the tree.
    """
    try:
        if not stat.S_ISDIR(top.lstat().st_mode):
            top.unlink()
            return True
        removal = _Removal(top)
        with contextlib.suppress(TreeChangedError), contextlib.closing(removal):
            removal.run()
        top.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class _Removal:
    """Removes what is below a folder: of each folder first everything but folders, then the folders, deepest first."""

    def __init__(self, top: Path) -> None:
        self._place = _Place(top)
        self._top = os.dup(self._place.fd)
        self._moved = 0

    def close(self) -> None:
        self._place.close()
        os.close(self._top)

    def run(self) -> None:
        place, levels = self._place, [_Level()]
        names: list[str] = []
        while True:
            level = levels[-1]
            if not level.folders and not level.whole:
                _clear(place.fd, level)
            if level.folders:
                name = level.folders.pop()
                if place.depth >= MAX_DEPTH_REMOVED and self._lift(name):
                    levels[0].whole = False
                elif place.down(name):
                    names.append(name)
                    levels.append(_Level())
                else:
                    level.kept.add(name)
            elif names:
                place.up()
                levels.pop()
                _remove_folder(names.pop(), place.fd, levels[-1])
            else:
                return

    def _lift(self, name: str) -> bool:
        """Move a folder that is too deep to the top, where it is found again."""
        self._moved += 1
        try:
            os.rename(name, f".too-deep-{self._moved}", src_dir_fd=self._place.fd, dst_dir_fd=self._top)
        except OSError:
            return False
        return True


def _clear(fd: int, level: _Level) -> None:
    """Remove files, links and empty folders, and put up to MAX_WAITING_FOLDERS of the others into the level."""
    with contextlib.suppress(OSError):
        os.fchmod(fd, 0o700)
    level.whole = True
    with _scanned(fd) as entries:
        for entry in entries:
            if entry.name in level.kept:
                continue
            if not entry.is_dir(follow_symlinks=False):
                _remove_file(entry.name, fd, level)
            elif not _remove_folder(entry.name, fd, level):
                level.kept.remove(entry.name)
                level.folders.append(entry.name)
                if len(level.folders) == MAX_WAITING_FOLDERS:
                    level.whole = False
                    return


def _remove_file(name: str, fd: int, level: _Level) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except OSError:
        level.kept.add(name)


def _remove_folder(name: str, fd: int, level: _Level) -> bool:
    """Remove an empty folder, or note that it stays."""
    try:
        os.rmdir(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except OSError:
        level.kept.add(name)
        return False
    return True


@contextlib.contextmanager
def _scanned(fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The entries of an open folder; none where it cannot be read."""
    try:
        opened = os.scandir(fd)
    except OSError:
        yield iter(())
        return
    with opened as entries:
        yield entries


def _opened(name: str, above: int | None = None) -> int:
    """The folder `name`; one whose mode closes it to its owner, who we are, is opened to us."""
    try:
        below = os.open(name, _FOLDER, dir_fd=above)
    except PermissionError:
        _open_to_owner(name, above)
        return os.open(name, _FOLDER, dir_fd=above)
    if os.fstat(below).st_mode & stat.S_IXUSR:
        return below
    with contextlib.suppress(OSError):  # another user's: what can be read of it is read
        os.fchmod(below, stat.S_IMODE(os.fstat(below).st_mode) | stat.S_IRWXU)
    return below


def _open_to_owner(name: str, above: int | None) -> None:
    """Give the owner all rights in a folder, and in no case in what a link of this name points to."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        Path(f"/proc/self/fd/{handle}").chmod(stat.S_IMODE(os.fstat(handle).st_mode) | stat.S_IRWXU)
    finally:
        os.close(handle)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def is_regular(path: Path) -> bool:
    """Whether it is a file itself: not a link to one, no folder, no FIFO."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
