"""Processes below another one: their list, their use of resources, and signals to all of them.

Signals go by psutil, which knows a process again by its start time. Samples are taken many times a second for days, so
they read /proc themselves: two short files for a process, where psutil would look at every process of the node.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KILLS_AT_ONCE = 20
_ZOMBIE = b"Z"
_KNOWS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
"""Whether this kernel has the list (its option CONFIG_PROC_CHILDREN, which the distributions set)."""


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


def descendants(pid: int) -> list[psutil.Process]:
    """All living processes below `pid`, zombies not counted."""
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in below if _is_alive(process)]


def signal_all(processes: Sequence[psutil.Process], number: int) -> None:
    """Send a signal to each process, and SIGCONT so that stopped ones take it."""
    for process in processes:
        for each in (number, signal.SIGCONT):
            # It ended by itself, which is what we want; or it has become another user's, and cannot be asked.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.send_signal(each)


def own_children() -> list[int]:
    """The direct children of this process, also those that have ended and are not reaped yet."""
    return list(_children(os.getpid()))


def kill_below(spared: Collection[int] = ()) -> None:
    """SIGKILL to everything below this process, but its own children in `spared` and what is below those.

    One that forks faster than a list of processes can be made is caught here: its parents have ended, so it is our own
    child, and we have the numbers of those at once. A group takes the signal as a whole, before a fork in it returns.
    """
    for _ in range(_KILLS_AT_ONCE):
        for child in own_children():
            if child not in spared:
                _kill_child(child)
    safe = {*spared, *(process.pid for child in spared for process in descendants(child))}
    signal_all([process for process in descendants(os.getpid()) if process.pid not in safe], signal.SIGKILL)


def _kill_child(pid: int) -> None:
    """Kill a child and its group; it is not reaped, so both numbers are its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter: it has become another user's
        group = os.getpgid(pid)
        os.kill(pid, signal.SIGKILL)
        if group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# ---------------------------------------------------------------------------------------------------------- samples


def uses_below(pid: int) -> list[ProcessUse]:
    """Return what each living process below `pid` uses now. One that is just being born or ending may be missed."""
    found = []
    ahead = list(_children(pid))
    while ahead:
        child = ahead.pop()
        ahead.extend(_children(child))
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


def _children(pid: int) -> Iterator[int]:
    if not _KNOWS_CHILDREN:
        yield from (child.pid for child in _ask_psutil(pid))
        return
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (thread / "children").read_bytes().split())
    except (FileNotFoundError, ProcessLookupError):
        return


def _ask_psutil(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _bytes_moved(folder: Path) -> tuple[int, int]:
    try:
        lines = (folder / "io").read_bytes().split()
    except OSError:  # it has ended, or has changed its user: what it reads is not told
        return 0, 0
    return int(lines[1]), int(lines[3])
