"""Whether the kernel's memory killer was at work in the control group of a process (cgroup version 1 and 2).

Files: `memory.events` (Documentation/admin-guide/cgroup-v2.rst), `memory.oom_control` since Linux 4.13
(Documentation/admin-guide/cgroup-v1/memory.rst); both have a line `oom_kill N`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROC = Path("/proc")


class OomWatch:
    """Counts the processes that the memory killer has ended since the watch began, in the group of process `pid`.

    `count` stays None where no group tells. Other jobs that share the group are counted too.
    """

    def __init__(self, pid: int, proc: Path = _PROC) -> None:
        self._file = _events_file(pid, proc)
        self._before = self._read()

    def count(self) -> int | None:
        now = self._read()
        return None if now is None or self._before is None else max(0, now - self._before)

    def _read(self) -> int | None:
        if self._file is None:
            return None
        try:
            lines = self._file.read_text().splitlines()
        except OSError:  # the group is gone, or closed to us
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _events_file(pid: int, proc: Path) -> Path | None:
    try:
        groups = (proc / str(pid) / "cgroup").read_text().splitlines()
        mounts = (proc / "self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    return next((file for file in _candidates(groups, mounts) if file.is_file()), None)


def _candidates(groups: list[str], mounts: list[str]) -> Iterator[Path]:
    """Where the counter may be; the group's own folder first, then the top of what a container is shown."""
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        kind, name = ("cgroup", "memory.oom_control") if controllers else ("cgroup2", "memory.events")
        for root, point in _mounted(mounts, kind):
            for folder in (_below(path, root), ""):
                yield Path(point, folder, name)


def _mounted(mounts: list[str], kind: str) -> Iterator[tuple[str, str]]:
    """Root and place of each mount of this kind; of version 1 the one with the memory controller (proc(5))."""
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        system, *_, options = after.split()
        if system == kind and (kind == "cgroup2" or "memory" in options.split(",")):
            root, point = before.split()[3:5]
            yield root, point


def _below(path: str, root: str) -> str:
    """The group's path as it is seen below a mount, which may show only a part of the tree."""
    group = PurePosixPath(path)
    return str(group.relative_to(root) if group.is_relative_to(root) else group.relative_to("/"))
