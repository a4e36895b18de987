from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from pilotext.errors import (
    ChecksumError,
    DeniedError,
    RenewalError,
    SizeError,
    StalledError,
    StorageError,
    TransientError,
)
from pilotext.model.report import Try
from pilotext.storage.retry import Policy, Retries, retried
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
        self.closed = 0

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def close(self) -> None:
        self.closed += 1


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


@pytest.mark.parametrize(("failures", "closed"), [([BUSY, STALLED], 2), ([ROTTEN], 0), ([BUSY, ROTTEN], 1)])
def test_a_try_after_a_transient_error_has_a_transfer_process_of_its_own(
    failures: list[StorageError], closed: int
) -> None:
    mover = Watched()
    retried(script(*failures, "done"), URL, mover, Policy(tries=3), [])
    assert mover.closed == closed


@pytest.fixture
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed tries count with the time they took, which would make the sums of the waits inexact."""
    monkeypatch.setattr("pilotext.storage.retry.time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.mark.usefixtures("_no_time_passes")
def test_waits_are_bounded_together() -> None:
    mover = Watched()
    policy = Policy(tries=1000, first_wait_s=10, factor=3, jitter=0, max_wait_s=100, retry_within_s=250)
    with pytest.raises(TransientError):
        retried(script(*[BUSY] * 1000), URL, mover, policy, [])
    assert mover.pauses[:4] == [10, 30, 90, 100]
    assert sum(mover.pauses) == 250


@pytest.mark.usefixtures("_no_time_passes")
def test_waits_of_several_operations_are_bounded_together_and_each_has_one_try() -> None:
    mover = Watched()
    retries = Retries(mover, Policy(tries=10, first_wait_s=50, jitter=0, retry_within_s=100))
    for number in range(3):
        with pytest.raises(TransientError):
            retries.run(script(*[BUSY] * 10), f"{URL}{number}")
    assert sum(mover.pauses) == 100
    assert [each.url[-1] for each in retries.tries] == ["0", "0", "0", "1", "2"]


def test_time_lost_in_failed_tries_counts_too() -> None:
    def slow() -> str:
        time.sleep(0.02)
        raise BUSY

    retries = Retries(Watched(), Policy(tries=1000, first_wait_s=0, jitter=0, retry_within_s=0.05))
    with pytest.raises(TransientError):
        retries.run(slow, URL)
    assert len(retries.tries) <= 3


def test_servers_that_were_given_up_for_being_away_are_known() -> None:
    retries = Retries(Watched(), Policy(tries=2, first_wait_s=0))
    assert retries.run(script(BUSY, "done"), "root://hiccup//eos/x") == "done"
    for server, error in (("root://away:1094", BUSY), ("root://closed", DENIED), ("root://rotten", ROTTEN)):
        with pytest.raises(StorageError):
            retries.run(script(error, error), f"{server}//eos/x")
    assert retries.silent == {"root://away:1094"}


def test_a_server_that_was_not_asked_for_want_of_a_credential_is_not_away() -> None:
    retries = Retries(Watched(), Policy(tries=2, first_wait_s=0))
    with pytest.raises(RenewalError):
        retries.run(script(*[RenewalError(URL, "the proxy has ended")] * 2), URL)
    assert retries.silent == set()
