"""Whether the kernel's memory killer was at work in the control group of a process (cgroup version 1 and 2).

Files: `memory.events` (Documentation/admin-guide/cgroup-v2.rst), `memory.oom_control` since Linux 4.13
(Documentation/admin-guide/cgroup-v1/memory.rst); both have a line `oom_kill N`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pilotext.worker.control_group import own_folders

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
    return next((file for file in _candidates(pid, proc) if file.is_file()), None)


def _candidates(pid: int, proc: Path) -> Iterator[Path]:
    """Where the counter may be; the group's own folder first, then those above it, which may be all that has one."""
    for folder, top in own_folders(pid, ("memory",), proc):
        for each in (folder, *folder.parents):
            yield each / "memory.oom_control"
            yield each / "memory.events"
            if each == top:
                break
