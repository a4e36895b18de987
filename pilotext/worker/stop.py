"""Being told to stop: signals become an exception at a place where the job's life can take one."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

# What pilots and batch systems send when a job has to end.
STOP_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)


def hold() -> None:
    """Let signals to stop wait until somebody listens to them, or `release` is called."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def release() -> None:
    """Take the signals that were held."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


class ToldToStop(Exception):  # noqa: N818  it is an order, not an error
    """Somebody ended the job; `signal_name` is the signal that said so."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"told to stop by {signal_name}")
        self.signal_name = signal_name


class OutOfTime(ToldToStop):
    """Nobody said so, but the time of the job, or of its phase, is over."""

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
        """When `tick` raises OutOfTime, once (monotonic time)."""
        self._obeyed = False

    def tick(self) -> None:
        """Raise ToldToStop if a signal has come since the last call, or OutOfTime."""
        if self.received is not None and not self._obeyed:
            self._obeyed = True
            raise ToldToStop(self.received)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.deadline = None
            raise OutOfTime

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the stop signals while the block runs, but those that are ignored (nohup). For the main thread."""
        heard = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._take) for number in heard}
        release()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number).name
