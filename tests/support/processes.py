"""Processes of this machine, each of which may end while a test asks for it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

SOME_WORK_S = 0.1
"""Enough for a busy scheduler to let others work meanwhile."""


def is_alive(process: psutil.Process) -> bool:
    """Whether it has not ended; one whose status nobody has asked for yet has ended."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def has_ended(pid: int) -> bool:
    """Whether no living process has this identifier."""
    try:
        return not is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def command_of(process: psutil.Process) -> list[str]:
    """The command line; empty for a process that has ended or is another user's."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def processes_below(folder: Path) -> list[psutil.Process]:
    """Living processes that work somewhere in a folder, those that are stopped or traced too."""
    return [process for process in psutil.process_iter() if _works_below(process, folder.resolve())]


def children_of(process: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    """The children of a process; none of one that has ended."""
    try:
        return list(process.children(recursive=recursive))
    except psutil.NoSuchProcess:
        return []


def slowness() -> float:
    """Return how many times longer than on an idle machine work takes now: the wall time by the CPU time of a bit."""
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < SOME_WORK_S:
        pass
    return max(1.0, (time.monotonic() - began) / SOME_WORK_S)


def _works_below(process: psutil.Process, folder: Path) -> bool:
    try:
        return is_alive(process) and Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:  # it has ended, or is another user's
        return False
    except OSError:  # psutil passes ENAMETOOLONG on, for a process of another test far down in a deep tree
        return False
