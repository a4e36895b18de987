"""The processes below another one: their list, signals to all of them, and the kill of the whole tree.

Signals go by psutil, which identifies a process by its start time too. The list of direct children is read from /proc,
since it is needed many times a second, and psutil reads the state of every process of the node for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import psutil

_KILLS_AT_ONCE = 20
_KNOWS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
"""Whether this kernel has the list (its option CONFIG_PROC_CHILDREN, which the distributions set)."""


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
    return list(children_of(os.getpid()))


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


def children_of(pid: int) -> Iterator[int]:
    """Return the numbers of the direct children of a process; none when it has ended."""
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
