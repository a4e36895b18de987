from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pilotext.errors import ChecksumError, DeniedError, SizeError, StalledError, StorageError, TransientError
from pilotext.model import Try
from pilotext.storage.retry import Policy, retried
from pilotext.storage.transfer import InProcessMover

URL = "root://eos//eos/x"
BUSY, STALLED = TransientError(URL, "busy"), StalledError(URL, "stalled")
ROTTEN, SHORT = ChecksumError(URL, "rotten"), SizeError(URL, "short")
DENIED = DeniedError(URL, "denied")


class Watched(InProcessMover):
    """Notes its pauses instead of making them."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def script(*outcomes: StorageError | str) -> Callable[[], str]:
    """An action that does one thing after the other."""
    waiting: Iterator[StorageError | str] = iter(outcomes)

    def action() -> str:
        outcome = next(waiting)
        if isinstance(outcome, StorageError):
            raise outcome
        return outcome

    return action


@pytest.mark.parametrize(
    ("failures", "pauses"),
    [([], 0), ([BUSY, STALLED], 2), ([ROTTEN], 0), ([SHORT], 0), ([BUSY, ROTTEN], 1)],
)
def test_what_passes_with_patience_succeeds(failures: list[StorageError], pauses: int) -> None:
    mover, tries = Watched(), list[Try]()
    assert retried(script(*failures, "done"), URL, mover, Policy(tries=3), tries) == "done"
    assert [each.fault for each in tries] == [error.fault for error in failures]
    assert len(mover.pauses) == pauses


@pytest.mark.parametrize(
    "failures",
    [[DENIED], [BUSY, DENIED], [BUSY, BUSY, STALLED], [ROTTEN, ROTTEN], [SHORT, ROTTEN], [ROTTEN, BUSY, SHORT]],
)
def test_what_does_not_pass_raises_the_last_error(failures: list[StorageError]) -> None:
    tries: list[Try] = []
    with pytest.raises(StorageError) as caught:
        retried(script(*failures, "never reached"), URL, Watched(), Policy(tries=3), tries)
    assert caught.value is failures[-1]
    assert [each.message for each in tries] == [error.reason for error in failures]


def test_no_pause_follows_the_last_try() -> None:
    mover = Watched()
    with pytest.raises(TransientError):
        retried(script(BUSY, BUSY), URL, mover, Policy(tries=2), [])
    assert len(mover.pauses) == 1


def test_waits_grow_to_their_limit_and_vary() -> None:
    exact = Policy(first_wait_s=10, factor=3, jitter=0, max_wait_s=100)
    assert [exact.wait_s(failed) for failed in (1, 2, 3, 4, 5000)] == [10, 30, 90, 100, 100]
    loose = [Policy(first_wait_s=10, jitter=0.5).wait_s(1) for _ in range(50)]
    assert all(5 <= wait <= 15 for wait in loose)
    assert len(set(loose)) > 1


def test_an_error_that_is_not_the_storage_s_passes_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        retried(lambda: 1 // 0, URL, Watched(), Policy(), [])
