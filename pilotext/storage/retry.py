"""How often, and how long after, a failed storage operation is tried again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from pilotext.errors import ChecksumError, StorageError
from pilotext.model import Record, Try
from pilotext.storage.transfer import Mover

T = TypeVar("T")


class Policy(Record, frozen=True):
    """How patient to be; times are seconds.

    A busy or unreachable server gets `tries` tries, with waits that grow from `first_wait_s` by `factor` up to
    `max_wait_s`, each changed by up to the part `jitter` of itself, so that a thousand jobs do not come back at once.
    A file on tape is asked after every `poll_s`, growing likewise, for `online_within_s`.
    """

    tries: int = 3
    first_wait_s: float = 10.0
    factor: float = 3.0
    jitter: float = 0.5
    max_wait_s: float = 300.0
    poll_s: float = 15.0
    online_within_s: float = 12 * 3600.0

    def wait_s(self, failed: int) -> float:
        """How long to wait after so many failed tries."""
        return self._grown(self.first_wait_s, failed)

    def poll_wait_s(self, polls: int) -> float:
        """How long to wait after so many questions to a tape system."""
        return self._grown(self.poll_s, polls)

    def _grown(self, first: float, count: int) -> float:
        # A float power overflows at about 1e308; nobody waits longer than after 30 steps.
        wait = min(first * self.factor ** min(count - 1, 30), self.max_wait_s)
        return wait * secrets.SystemRandom().uniform(1 - self.jitter, 1 + self.jitter)


def retried(action: Callable[[], T], url: str, mover: Mover, policy: Policy, tries: list[Try]) -> T:
    """The action's result, after as many tries as its errors deserve.

    A transient error is waited out, a checksum or size mismatch gets exactly one fresh copy, anything else is raised at
    once. Every try that failed is appended to `tries`, also the last, whose error is raised.
    """
    failed = mismatched = 0
    while True:
        began = time.monotonic()
        try:
            return action()
        except StorageError as error:
            tries.append(Try(url, error.fault, error.reason, round(time.monotonic() - began, 3)))
            failed += 1
            mismatched += isinstance(error, ChecksumError)
            if not (error.retryable and failed < policy.tries) and not _first_mismatch(error, mismatched):
                raise
            if error.retryable:
                mover.pause(policy.wait_s(failed))


def _first_mismatch(error: StorageError, mismatched: int) -> bool:
    return isinstance(error, ChecksumError) and mismatched == 1
