"""Movers, which carry out storage operations: in a process of its own, which can be ended, or in this one.

Both call `tick` while they work or wait. It may raise, to stop everything: the work is abandoned and what it raised
goes up to the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pilotext.errors import STORAGE_ERRORS, StalledError, TransientError
from pilotext.serialization.json import ready
from pilotext.storage.operations import RESULTS, Operation, perform, subject
from pilotext.storage.transfer.child import Child, ChildEndedError

Tick = Callable[[], None]

STEP_S = 0.1
HURRY_S = 5.0
TIDY_WITHIN_S = 1.0

MIN_KB_S = 50.0
"""Rate of a transfer that is worth its time, in kB/s: a raw file of 1 GB takes five and a half hours at this rate."""


def no_tick() -> None:
    """For a caller that has nothing to look after meanwhile."""


class Mover(Protocol):
    """Carries out storage operations, and waits between them."""

    def do(self, operation: Operation, **arguments: Any) -> Any:
        """One operation of `pilotext.storage.base.Storage`, its arguments by name, without `progress`.

        Returns and raises what that operation does, and what `tick` raises.
        """

    def pause(self, seconds: float) -> None:
        """Wait, and tick meanwhile."""

    def close(self) -> None:
        """Give back what is held between operations, for example before a long payload; the next one starts anew."""

    def hurried(self) -> AbstractContextManager[None]:
        """Have little patience inside the block, for what is good to have and not worth a long wait."""

    def tidier(self) -> Mover:
        """A mover for tidying up after an abort: it does not tick, and has little patience."""


class ChildMover:
    """Storage operations in a transfer process, which is killed when nothing has moved for `stall_s` seconds.

    The same happens when bytes have moved for so long, and at less than `min_kb_s`; 0 allows every rate. The process
    is started for the first operation and serves the next ones too. It ends with `close`, with this object, and with
    this process, however that ends. `do` raises StalledError after a kill, and TransientError when the transfer process
    itself has died.
    """

    def __init__(self, stall_s: float, tick: Tick = no_tick, min_kb_s: float = MIN_KB_S) -> None:
        self._stall_s = stall_s
        self._min_kb_s = min_kb_s
        self._tick = tick
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The transfer process, while there is one."""
        return self._child.pid if self._child and self._child.alive else None

    def do(self, operation: Operation, **arguments: Any) -> Any:
        request = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
        try:
            answer = self._converse({"operation": operation, **request}, subject(arguments))
        except ChildEndedError as error:
            self.close()
            raise TransientError(subject(arguments), str(error)) from error
        except BaseException:
            self.close()
            raise
        if told := answer.get("error"):
            raise STORAGE_ERRORS[told["fault"]](told["url"], told["message"], advice=told["advice"])
        return msgspec.convert(answer["result"], ready(RESULTS[operation]))

    def pause(self, seconds: float) -> None:
        pause(seconds, self._tick)

    @contextmanager
    def hurried(self) -> Iterator[None]:
        before, self._stall_s = self._stall_s, min(self._stall_s, HURRY_S)
        try:
            yield
        finally:
            self._stall_s = before

    def tidier(self) -> ChildMover:
        tidier = ChildMover(min(self._stall_s, TIDY_WITHIN_S), min_kb_s=self._min_kb_s)
        tidier._child, self._child = self._child, None  # to start another process may take all of that time
        return tidier

    def close(self) -> None:
        child, self._child = self._child, None
        if child:
            child.kill()

    def __enter__(self) -> ChildMover:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _converse(self, request: dict[str, Any], url: str) -> dict[str, Any]:
        if self._child is None or not self._child.alive:
            self.close()
            self._child = Child()
        self._child.ask(request)
        watch = _Watch(self._stall_s, self._min_kb_s)
        while not (problem := watch.problem):
            self._tick()
            began = time.monotonic()
            answers = self._child.answers(STEP_S)
            for answer in answers:
                if "progress" not in answer:
                    return answer
            # Time in which this process was suspended, or busy with its tick, is not the transfer's.
            watch.saw([answer["progress"] for answer in answers], min(time.monotonic() - began, 2 * STEP_S))
        raise StalledError(url, f"{problem}; the transfer was ended.")


@dataclass
class _Watch:
    """Observation of one operation: the time in which nothing moves, and the rate at which bytes move.

    A report of progress without a further byte is a sign of life only, as of a file that is read back. The rate counts
    from the first byte on, over `stall_s` at least, whenever further bytes have moved.
    """

    stall_s: float
    min_kb_s: float
    problem: str = ""
    _still_s: float = 0.0
    _window_s: float = 0.0
    _window_began_at: int = 0
    _done: int = 0

    def saw(self, progress: Sequence[int], passed_s: float) -> None:
        """Note what was reported within the last `passed_s`."""
        self._still_s = 0.0 if progress else self._still_s + passed_s
        self._window_s += passed_s
        if progress and progress[-1] > self._done:
            first, self._done = self._done == 0, progress[-1]
            if not first and self._window_s > self.stall_s:
                self._judge_rate()
            if first or self._window_s > self.stall_s:
                self._window_s, self._window_began_at = 0.0, self._done
        if self._still_s > self.stall_s:
            self.problem = f"nothing moved for {self.stall_s:g} s"

    def _judge_rate(self) -> None:
        kb_s = (self._done - self._window_began_at) / self._window_s / 1000
        if kb_s < self.min_kb_s:
            self.problem = f"{kb_s:.1f} kB/s moved for {self._window_s:.0f} s, at least {self.min_kb_s:g} are wanted"


class InProcessMover:
    """Does operations in this process: nothing can end one that hangs. For tests, and for storage in memory."""

    def __init__(self, tick: Tick = no_tick) -> None:
        self._tick = tick

    def do(self, operation: Operation, **arguments: Any) -> Any:
        self._tick()
        return perform(operation, arguments, lambda _: self._tick())

    def pause(self, seconds: float) -> None:
        pause(seconds, self._tick)

    def close(self) -> None:
        """Nothing is held."""

    def hurried(self) -> AbstractContextManager[None]:
        return nullcontext()

    def tidier(self) -> InProcessMover:
        return InProcessMover()


def pause(seconds: float, tick: Tick) -> None:
    """Wait, and tick several times a second meanwhile."""
    end = time.monotonic() + seconds
    tick()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, STEP_S))
        tick()
