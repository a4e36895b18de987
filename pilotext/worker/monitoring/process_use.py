"""Use of resources by the processes below another one.

Samples are taken many times a second for days, so they read /proc: two short files for a process, where psutil would
look at every process of the node.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pilotext.worker.process_tree import children_of

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ZOMBIE = b"Z"


@dataclass(frozen=True)
class ProcessUse:
    """Resources of one process: CPU seconds (of itself, and of its children that have ended), bytes resident and bytes
    that its calls have read and written, the last two with those of its children that have ended."""

    pid: int
    cpu_s: float
    ended_cpu_s: float
    resident: int
    read: int
    written: int


def uses_below(pid: int) -> list[ProcessUse]:
    """Return what each living process below `pid` uses now. One that is just being born or ending may be missed."""
    found = []
    ahead = list(children_of(pid))
    while ahead:
        child = ahead.pop()
        ahead.extend(children_of(child))
        if use := use_of(child):
            found.append(use)
    return found


def use_of(pid: int) -> ProcessUse | None:
    """Return what a process uses, or None when it has ended (proc(5): stat, io)."""
    folder = Path("/proc", str(pid))
    try:
        # The name of the program stands in parentheses and may hold anything, so the fields are counted behind it.
        state, *fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    if state == _ZOMBIE:
        return None
    user, system, ended_user, ended_system = (int(field) / _TICKS_PER_S for field in fields[10:14])
    read, written = _bytes_moved(folder)
    resident = max(0, int(fields[20])) * _PAGE
    return ProcessUse(pid, user + system, ended_user + ended_system, resident, read, written)


def share_of(use: ProcessUse) -> tuple[int, int]:
    """Bytes of a process's proportional memory (PSS), and those of them in files that are memory (proc(5), smaps)."""
    try:
        lines = Path(f"/proc/{use.pid}/smaps_rollup").read_bytes().splitlines()
    except PermissionError:  # a program that changed its user: what it shares is not told
        return use.resident, 0
    except OSError:  # it has ended
        return 0, 0
    sizes = {name: int(rest[0]) * 1024 for name, *rest in map(bytes.split, lines) if name in (b"Pss:", b"Pss_Shmem:")}
    return sizes.get(b"Pss:", 0), sizes.get(b"Pss_Shmem:", 0)


def _bytes_moved(folder: Path) -> tuple[int, int]:
    try:
        lines = (folder / "io").read_bytes().split()
    except OSError:  # it has ended, or has changed its user: what it reads is not told
        return 0, 0
    return int(lines[1]), int(lines[3])
