"""Who carries out the operations of a storage system: a process of its own, which can be ended, or this one.

Both call `tick` while they work or wait. It may raise, to stop everything: the work is abandoned and what it raised
goes up to the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pilotext.decode import ready
from pilotext.errors import STORAGE_ERRORS, StalledError, TransientError
from pilotext.storage.child import Child, ChildEndedError
from pilotext.storage.operations import RESULTS, Operation, perform, subject

Tick = Callable[[], None]

STEP_S = 0.1
HURRY_S = 5.0
TIDY_WITHIN_S = 1.0


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
    """Has operations done in a transfer process, and kills it when nothing has moved for `stall_s` seconds.

    The process is started for the first operation and serves the next ones too. It ends with `close`, with this object,
    and with this process, however that ends. `do` raises StalledError after a kill, and TransientError when the
    transfer process itself has died.
    """

    def __init__(self, stall_s: float, tick: Tick = no_tick) -> None:
        self._stall_s = stall_s
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
        tidier = ChildMover(min(self._stall_s, TIDY_WITHIN_S))
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
        still = 0.0
        while still <= self._stall_s:
            self._tick()
            began = time.monotonic()
            answers = self._child.answers(STEP_S)
            for answer in answers:
                if "progress" not in answer:
                    return answer
            # Time in which this process was suspended, or busy with its tick, is not the transfer's.
            still = 0.0 if answers else still + min(time.monotonic() - began, 2 * STEP_S)
        raise StalledError(url, f"nothing moved for {self._stall_s:g} s; the transfer was ended.")


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
