"""Ties between processes that hold however one of them ends, and walls that hold while they run (prctl(2))."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans(*, yes: bool) -> None:
    """Make orphans below this process its own children instead of init's, or not (since Linux 3.4)."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def forbid_inspection() -> None:
    """Keep other processes of the same user out of this one's memory, environment and descriptors.

    The system then refuses them ptrace(2) and /proc/PID/{mem,environ,fd}; root may still look. Holds for what this
    process forks, and ends with exec. Such a process leaves no core file.
    """
    if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")


def tied() -> Callable[[], None]:
    """Return what a `preexec_fn` must call so that the new process is killed when the thread that starts it ends.

    The tie begins before the program does, and outlives exec. Call this in the parent, which must have one thread.
    """
    return functools.partial(_tie, os.getpid())


def _tie(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was killed before the line above
        os._exit(1)


def end_with_parent() -> None:
    """Have this process get SIGTERM when the thread that has started it ends. A `preexec_fn`, also for many threads."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def resumed_without(parent: int) -> None:
    """Have this process resumed, if it is stopped then, whenever its parent ends: now `parent`, later the next one."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os.kill(os.getpid(), signal.SIGCONT)
