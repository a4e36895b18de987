"""Watchdog: the parent of the subreaper, for the case that wrapper or subreaper cannot do their work.

A payload runs under the same user as the wrapper, so it can stop, trace or kill it, and the subreaper too. Wrapper,
watchdog and subreaper therefore watch each other: whoever is stopped is resumed by the two others, the time of the
payload is limited by each of them, and when one is killed, what the payload has started falls to another one, which
ends it. The watchdog does nothing else.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Sequence

from pilotext.worker.process_tree import descendants, kill_below, signal_all

WATCH_EVERY_S = 0.5
SUBREAPER_ENDS_WITHIN_S = 1.0
"""Time that the subreaper has to end the payload when the wrapper is gone."""

DEADLINE_MARGIN_S = 2.0
"""Time over the payload's limit after which the watchdog ends it; wrapper and subreaper do so earlier."""

MAX_SWEEP_S = 10.0
_STEP_S = 0.02
LET_GO_WITHIN_S = 2.0
_STOPPED, _TRACED = b"T", b"t"


def resume_stopped(processes: Iterable[int]) -> None:
    """Resume those of these processes that were stopped (SIGSTOP, SIGTSTP)."""
    for process in processes:
        # It has ended, or its number is another user's by now.
        with contextlib.suppress(OSError):
            if state_of(process) == _STOPPED:
                os.kill(process, signal.SIGCONT)


def state_of(process: int) -> bytes:
    """The state letter of a process (proc(5), stat); empty for a process that has ended."""
    try:
        handle = os.open(f"/proc/{process}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, 4096).rpartition(b")")[2][1:2]
    except ProcessLookupError:
        return b""
    finally:
        os.close(handle)


def let_go(processes: Sequence[int]) -> None:
    """Resume these processes for the last time, before nobody is there to do it.

    One that was traced is stopped, at first, when its tracer has ended.
    """
    end = time.monotonic() + LET_GO_WITHIN_S
    while any(state_of(process) in (_STOPPED, _TRACED) for process in processes) and time.monotonic() < end:
        resume_stopped(processes)
        time.sleep(_STEP_S)


def watch(wrapper: int, subreaper: int, orders: int, deadline: float | None) -> None:
    """Until the subreaper, our child, has ended, or must be ended; returns when no process is left below us.

    `orders` is a pipe that only the wrapper writes to, and `deadline` (monotonic) when the payload's time is over.
    """
    poll = select.poll()
    poll.register(orders, 0)  # only to hear that its other end is closed
    kill_at = None if deadline is None else deadline + DEADLINE_MARGIN_S
    wrapper_gone = False
    while not _reaped(subreaper):
        if wrapper_gone:
            time.sleep(_STEP_S)
        elif poll.poll(WATCH_EVERY_S * 1000):
            wrapper_gone = True
            kill_at = time.monotonic() + SUBREAPER_ENDS_WITHIN_S
        resume_stopped((subreaper,) if wrapper_gone else (wrapper, subreaper))
        if kill_at is not None and time.monotonic() >= kill_at:
            signal_all(descendants(subreaper), signal.SIGKILL)  # first: one of them could kill us in between
            os.kill(subreaper, signal.SIGKILL)
            break
    _end_orphans()
    let_go((wrapper,))


def _reaped(subreaper: int) -> bool:
    """Reap what has ended; whether the subreaper is among it, or there is nothing left to wait for."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid in (0, subreaper):
            return pid == subreaper


def _end_orphans() -> None:
    """End everything below us. The subreaper leaves nothing behind, unless it was killed."""
    give_up_at = time.monotonic() + MAX_SWEEP_S
    while time.monotonic() < give_up_at:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        kill_below()
        time.sleep(_STEP_S)
