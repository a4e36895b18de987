"""Reading a job's logs so that a mistake of the classifier never costs the job what else is known of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pilotext.classify import LogScan, Matches, Progress
from pilotext.model.job import Job
from pilotext.rules.schema import RuleSet

T = TypeVar("T")

READ_AT_ONCE = 64 << 20
"""Bytes of log that are read between two checks of the payload: more than it can write meanwhile."""

READ_WITHIN_S = 0.2
"""And how long at most, where reading is slow: an order to stop waits for it."""

_MIN_SLICE_BYTES = 64 << 10
_MAX_SLICE_BYTES = 4 << 20
_SLOW_SLICE_S = 0.1
_FAST_SLICE_S = 0.02


class GuardedScan:
    """A LogScan that stops at its own first mistake; `broken` then says what it was.

    A limit on progress cannot be watched any more after that, so the last progress is returned again.
    """

    def __init__(self, ruleset: RuleSet, job: Job, streams: Mapping[str, Path]) -> None:
        self.broken = ""
        self._progress = Progress({}, 0)
        self._slice_bytes = _MIN_SLICE_BYTES
        self._scan = LogScan(ruleset, kind=job.kind, job_type=job.type, streams=streams, follow_links=False)

    def progress(self) -> Progress:
        """Read what was written since, and say how far the payload is."""

        def read() -> Progress:
            self._read_slices()
            return self._scan.progress()

        self._progress = self._guarded(read, self._progress)
        return self._progress

    def catch_up(self, tick: Callable[[], None]) -> None:
        """Read everything that a payload which has ended has written; `tick` may raise."""
        while self._guarded(self._read_slices, 0):
            tick()

    def _read_slices(self) -> int:
        """Read slices until the bound; they grow where reading is fast, so that a slow one holds no limit."""
        done, began = 0, time.monotonic()
        end, at = began + READ_WITHIN_S, began
        while done < READ_AT_ONCE and at < end:
            asked = self._slice_bytes
            size = self._scan.read(asked)
            done += size
            if size < asked:
                break
            took_s, at = time.monotonic() - at, time.monotonic()
            if took_s > _SLOW_SLICE_S:
                self._slice_bytes = max(asked // 4, _MIN_SLICE_BYTES)
            elif took_s < _FAST_SLICE_S:
                self._slice_bytes = min(asked * 2, _MAX_SLICE_BYTES)
        return done

    def finish(self, within_s: float = math.inf) -> Matches:
        """Read the rest, as far as there is time; nothing is known of the log if the classifier failed."""
        return self._guarded(lambda: self._scan.finish(within_s), Matches())

    def _guarded(self, action: Callable[[], T], otherwise: T) -> T:
        if self.broken:
            return otherwise
        try:
            return action()
        except Exception as error:  # noqa: BLE001  told by `broken`, which becomes a finding
            self.broken = f"{type(error).__name__}: {error}"
            return otherwise
