"""Orders to stop: signals become an exception at a place where the job can handle one."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from pilotext.model.verdict import signal_name

FAULTS = (
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGSEGV,
    signal.SIGSYS,
)
"""Signals that a process brings upon itself. A handler in Python cannot take them, since the fault would happen again.

They are blocked: a real fault ends the process all the same (signal(7)), and one that was sent waits to be asked for.
"""

SUSPENSIONS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
"""Signals that stop a process until SIGCONT, and can be ignored: a wrapper that is stopped watches no limit."""

_HARMLESS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)
_UNAVOIDABLE = (signal.SIGKILL, signal.SIGSTOP)

STOP_SIGNALS = tuple(sorted(signal.valid_signals() - {*FAULTS, *SUSPENSIONS, *_HARMLESS, *_UNAVOIDABLE}))
"""Every other signal would end the process. Pilots and batch systems send some of them; all are taken as the order."""


def hold() -> None:
    """Let signals to stop wait until somebody listens to them, or `release` is called."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, *FAULTS))


def release() -> None:
    """Take the signals that were held."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP_SIGNALS, *FAULTS))


def ignore_all() -> None:
    """Ignore every signal that would end or stop this process, as far as the system allows it."""
    for number in (*STOP_SIGNALS, *FAULTS, *SUSPENSIONS):
        signal.signal(number, signal.SIG_IGN)


def restore_all() -> None:
    """Give every signal its default meaning again, as in a program that a login shell starts."""
    for number in (*STOP_SIGNALS, *FAULTS, *SUSPENSIONS):
        signal.signal(number, signal.SIG_DFL)
    release()


class ToldToStop(Exception):  # noqa: N818  it is an order, not an error
    """The job has to stop, since the signal `signal_name` came."""

    def __init__(self, by: str) -> None:
        super().__init__(f"told to stop by {by}")
        self.signal_name = by


class OutOfTime(ToldToStop):
    """The time of the job, or of its phase, is over."""

    def __init__(self) -> None:
        super().__init__("the clock")


class StopSwitch:
    """Remembers the first signal to stop until somebody looks, and the time that is left.

    Every wait in the worker calls `tick` several times a second, so an order is obeyed within a fraction of a second.
    An order is given once: what cleans up after it may call `tick` again and is left in peace.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self.deadline: float | None = None
        """Moment at which `tick` raises OutOfTime, once (monotonic time)."""
        self._obeyed = False

    def tick(self) -> None:
        """Raise ToldToStop if a signal has come since the last call, or OutOfTime."""
        if self.received is None and (sent := signal.sigtimedwait(FAULTS, 0)) is not None:
            self.received = signal_name(sent.si_signo)
        if self.received is not None and not self._obeyed:
            self._obeyed = True
            raise ToldToStop(self.received)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.deadline = None
            raise OutOfTime

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the stop signals while the block runs, but those that are ignored (nohup). For the main thread.

        Signals that were held before are held again after it: one that comes when a job has ended and was reported
        must not change the status that the process ends with.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        heard = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._take) for number in heard}
        before |= {number: signal.signal(number, signal.SIG_IGN) for number in SUSPENSIONS}
        signal.pthread_sigmask(signal.SIG_BLOCK, FAULTS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, mask)
            for number, handler in before.items():
                signal.signal(number, handler)
            while signal.sigtimedwait(FAULTS, 0) is not None:  # what came later than the order must not end us now
                pass
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal_name(number)
