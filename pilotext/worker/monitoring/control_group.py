"""Control group of a payload, and the kernel's memory killer in it (cgroup version 1 and 2).

The killer's count is in `memory.events` (Documentation/admin-guide/cgroup-v2.rst), or since Linux 4.13 in
`memory.oom_control` (Documentation/admin-guide/cgroup-v1/memory.rst); both have a line `oom_kill N`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_PROC = Path("/proc")


@dataclass(frozen=True)
class ControlGroup:
    """The folders of the group in the hierarchies that count CPU time and memory; None where it could not be made."""

    cpu: Path | None
    memory: Path | None

    def join(self) -> None:
        """Put this process, and what it starts from now on, into the group."""
        for folder in self._folders():
            with contextlib.suppress(OSError):  # then it counts nothing, which `cpu_s` and `shared_bytes` tell
                (folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        """Remove the group. One that still holds a process, which hangs in the kernel, stays."""
        for folder in self._folders():
            with contextlib.suppress(OSError):
                folder.rmdir()

    def cpu_s(self) -> float:
        """CPU seconds of all that ever ran in the group; 0 where that is not counted."""
        if self.cpu is None:
            return 0.0
        if (nanoseconds := _text(self.cpu / "cpuacct.usage")).strip():
            return int(nanoseconds) / 1e9
        return _number(self.cpu / "cpu.stat", "usage_usec") / 1e6

    def shared_bytes(self) -> int:
        """Bytes of memory in tmpfs and in shared mappings that were charged to the group; 0 where not counted."""
        return 0 if self.memory is None else _number(self.memory / "memory.stat", "shmem")

    def _folders(self) -> set[Path]:
        return {folder for folder in (self.cpu, self.memory) if folder is not None}


NO_GROUP = ControlGroup(None, None)


def make_group(name: str, proc: Path = _PROC) -> ControlGroup:
    """Make a group of this name below the one of this process, as far as that is allowed."""
    made: dict[Path, Path | None] = {}
    for folder, _ in own_folders(os.getpid(), ("cpuacct", "memory"), proc):
        if folder not in made and _limits_hold_below(folder):
            made[folder] = _made(folder / name)
    folders = [folder for folder in made.values() if folder is not None]
    for_cpu = [folder for folder in folders if (folder / "cpuacct.usage").exists() or (folder / "cpu.stat").exists()]
    for_memory = [folder for folder in folders if (folder / "memory.stat").exists()]
    for folder in {*folders} - {*for_cpu[:1], *for_memory[:1]}:
        folder.rmdir()
    return ControlGroup(next(iter(for_cpu), None), next(iter(for_memory), None))


def own_folders(pid: int, controllers: tuple[str, ...], proc: Path = _PROC) -> Iterator[tuple[Path, Path]]:
    """The folders of the groups of a process, each with the top of its mount.

    Those are of version 1 where one of these controllers is, and of version 2.
    """
    groups = _text(proc / str(pid) / "cgroup").splitlines()
    mounts = _text(proc / "self/mountinfo").splitlines()
    for group in groups:
        _, of_group, path = group.split(":", 2)
        wanted = [name for name in of_group.split(",") if name in controllers]
        if of_group and not wanted:
            continue
        for root, point in _mounted(mounts, wanted):
            yield Path(point, _below(path, root)), Path(point)


def _mounted(mounts: list[str], controllers: list[str]) -> Iterator[tuple[str, str]]:
    """Root and place of each mount of version 1 with one of these controllers; without any, of version 2 (proc(5))."""
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        system, *_, options = after.split()
        fits = system == "cgroup" and set(controllers) & set(options.split(",")) if controllers else system == "cgroup2"
        if fits:
            root, point = before.split()[3:5]
            yield root, point


def _below(path: str, root: str) -> str:
    """The group's path as it is seen below a mount, which may show only a part of the tree."""
    group = PurePosixPath(path)
    return str(group.relative_to(root) if group.is_relative_to(root) else group.relative_to("/"))


def _limits_hold_below(folder: Path) -> bool:
    """Whether a new group is under the limits of this one: always, but in old kernels with version 1."""
    return _text(folder / "memory.use_hierarchy").strip() != "0"


def _made(folder: Path) -> Path | None:
    try:
        folder.mkdir()
    except OSError:
        return None
    return folder


def _number(file: Path, name: str) -> int:
    lines = (line.split() for line in _text(file).splitlines())
    return next((int(value) for key, value in lines if key == name), 0)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


_PROC = Path("/proc")


class OomWatch:
    """Counts the processes that the memory killer has ended since the watch began, in the group of process `pid`.

    `group` was made for the payload: what it has counted is of the payload, also before the watch began. Version 1
    counts a kill in the group of the victim alone, version 2 in those above as well. `count` stays None where no group
    tells. Other jobs that share the group of `pid` are counted too.
    """

    def __init__(self, pid: int, proc: Path = _PROC, group: ControlGroup = NO_GROUP) -> None:
        self._before: dict[Path, int] = {}
        own = _events_file(_candidates(pid, proc))
        if own is not None and (before := _kills(own)) is not None:
            self._before[own] = before
        if group.memory is not None and (made := _events_file(_files(group.memory))) is not None:
            self._before[made] = 0

    def count(self) -> int | None:
        """Return the number of processes, at least 0; None where it is not known."""
        counts = [
            max(0, kills - before) for file, before in self._before.items() if (kills := _kills(file)) is not None
        ]
        return max(counts, default=None)


def _kills(file: Path) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:  # the group is gone, or closed to us
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _events_file(candidates: Iterator[Path]) -> Path | None:
    return next((file for file in candidates if file.is_file()), None)


def _candidates(pid: int, proc: Path) -> Iterator[Path]:
    """Files that may hold the counter: in the group's own folder first, then in those above it."""
    for folder, top in own_folders(pid, ("memory",), proc):
        for each in (folder, *folder.parents):
            yield from _files(each)
            if each == top:
                break


def _files(folder: Path) -> Iterator[Path]:
    yield folder / "memory.oom_control"
    yield folder / "memory.events"
