"""Repetition of failed storage operations: after which errors, after which waits, and when it ends."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pilotext.errors import ChecksumError, RenewalError, StorageError
from pilotext.model import Record
from pilotext.model.report import Try
from pilotext.storage.transfer import Mover
from pilotext.storage.urls import server_of

T = TypeVar("T")


class Policy(Record, frozen=True):
    """Patience with storage systems; times are seconds.

    A busy or unreachable server gets `tries` tries, with waits that grow from `first_wait_s` by `factor` up to
    `max_wait_s`, each changed by up to the part `jitter` of itself, so that a thousand jobs do not come back at once.
    What failed tries and the waits after them may take together, over all servers and files of one stage-out, or all
    sources of one input, is `retry_within_s`; after that, every operation has one try. To try for hours, raise both
    `tries` and `retry_within_s`. A file on tape is asked after every `poll_s`, growing likewise, for `online_within_s`.
    """

    tries: int = 3
    first_wait_s: float = 10.0
    factor: float = 3.0
    jitter: float = 0.5
    max_wait_s: float = 300.0
    retry_within_s: float = 3600.0
    poll_s: float = 15.0
    online_within_s: float = 12 * 3600.0

    def wait_s(self, failed: int) -> float:
        """Return the seconds to wait after so many failed tries."""
        return self._grown(self.first_wait_s, failed)

    def poll_wait_s(self, polls: int) -> float:
        """Return the seconds to wait after so many questions to a tape system."""
        return self._grown(self.poll_s, polls)

    def _grown(self, first: float, count: int) -> float:
        # A float power overflows at about 1e308; nobody waits longer than after 30 steps.
        wait = min(first * self.factor ** min(count - 1, 30), self.max_wait_s)
        return wait * secrets.SystemRandom().uniform(1 - self.jitter, 1 + self.jitter)


@dataclass
class Retries:
    """Failed tries of one stage-in or stage-out, with the time that they have cost together."""

    mover: Mover
    policy: Policy
    tries: list[Try] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    """Servers that were given up for being away."""
    _spent_s: float = 0.0

    def run(self, action: Callable[[], T], url: str) -> T:
        """Return the action's result, after as many tries as its errors deserve.

        A transient error is waited out, a checksum or size mismatch gets exactly one fresh copy, anything else is
        raised at once. A try after a transient error inherits nothing: the transfer process before it is ended, and
        with it the connections, and whatever the storage client remembers of the server, and the locks that the
        server keeps for these connections. Every try that failed is appended to `tries`, also the last, whose error
        is raised.
        """
        failed = mismatched = 0
        while True:
            began = time.monotonic()
            try:
                return action()
            except StorageError as error:
                lost_s = time.monotonic() - began
                self._spent_s += lost_s
                self.tries.append(Try(url, error.fault, error.reason, round(lost_s, 3)))
                failed += 1
                mismatched += isinstance(error, ChecksumError)
                if not error.retryable:
                    if not _first_mismatch(error, mismatched):
                        raise
                    continue
                self.mover.close()
                left_s = self.policy.retry_within_s - self._spent_s
                if failed >= self.policy.tries or left_s <= 0:
                    if not isinstance(error, RenewalError):
                        self.silent.add(server_of(url))
                    raise
                self._wait(min(self.policy.wait_s(failed), left_s))

    def _wait(self, seconds: float) -> None:
        self._spent_s += seconds
        self.mover.pause(seconds)


def retried(action: Callable[[], T], url: str, mover: Mover, policy: Policy, tries: list[Try]) -> T:
    """Return the action's result as `Retries.run` does, for an operation that belongs to no stage-in or stage-out."""
    return Retries(mover, policy, tries).run(action, url)


def _first_mismatch(error: StorageError, mismatched: int) -> bool:
    return isinstance(error, ChecksumError) and mismatched == 1
