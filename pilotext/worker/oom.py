"""Whether the kernel's memory killer was at work in the control group of a process (cgroup version 1 and 2).

Files: `memory.events` (Documentation/admin-guide/cgroup-v2.rst), `memory.oom_control` since Linux 4.13
(Documentation/admin-guide/cgroup-v1/memory.rst); both have a line `oom_kill N`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pilotext.worker.control_group import NO_GROUP, ControlGroup, own_folders

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
