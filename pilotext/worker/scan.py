"""Reading a job's logs so that a mistake of the classifier never costs the job what else is known of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pilotext.classify import LogScan, Matches, Progress
from pilotext.model import Job
from pilotext.rules.schema import RuleSet

T = TypeVar("T")

READ_AT_ONCE = 64 << 20
"""Bytes of log that are read between two looks at the payload: a fraction of a second, and more than it can write."""


class GuardedScan:
    """A LogScan that stops at its own first mistake; `broken` then says what it was.

    A limit on progress cannot be watched any more after that, so the last progress is told again.
    """

    def __init__(self, ruleset: RuleSet, job: Job, streams: Mapping[str, Path]) -> None:
        self.broken = ""
        self._progress = Progress({}, 0)
        self._scan = LogScan(ruleset, kind=job.kind, job_type=job.type, streams=streams)

    def progress(self) -> Progress:
        """Read what was written since, and say how far the payload is."""

        def read() -> Progress:
            self._scan.read(READ_AT_ONCE)
            return self._scan.progress()

        self._progress = self._guarded(read, self._progress)
        return self._progress

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
