from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pilotext.errors import DeniedError, OfflineError, RenewalError, StalledError, TransientError
from pilotext.model.job import Input
from pilotext.storage import registry
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.retry import Policy
from pilotext.storage.stage_in import stage_in
from pilotext.storage.tape import NOTES, TapeRequests
from pilotext.storage.transfer import InProcessMover

HERE, THERE = "memory://castor/here.raw", "memory://castor/there.raw"


@pytest.fixture
def tape(memory: MemoryStorage) -> MemoryStorage:
    for url in (HERE, THERE):
        memory.files[url] = b"abc"
        memory.tape.add(url)
    return memory


def count(tape: MemoryStorage, operation: str, url: str = HERE) -> int:
    return tape.calls.count((operation, url))


def test_a_file_is_given_back_once_after_its_copy(tape: MemoryStorage, tmp_path: Path, impatient: Policy) -> None:
    done = stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert done.tries == ()
    assert [operation for operation, _ in tape.calls if operation in ("prepare", "get", "release")] == [
        "prepare",
        "get",
        "release",
    ]
    assert HERE in tape.tape
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_file_on_disk_is_not_given_back(tape: MemoryStorage, tmp_path: Path, impatient: Policy) -> None:
    tape.tape.clear()
    stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert count(tape, "prepare") == count(tape, "release") == 0


def test_a_release_that_fails_is_told_and_not_tried_again(
    tape: MemoryStorage, tmp_path: Path, impatient: Policy
) -> None:
    tape.fail_next("release", TransientError(HERE, "busy"))
    done = stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert [each.message for each in done.tries] == ["not given back to the tape system: busy"]
    assert count(tape, "release") == 1
    assert not (tmp_path / NOTES).exists()


def test_every_request_of_a_try_that_failed_is_given_back(tape: MemoryStorage, tmp_path: Path) -> None:
    tape.fail_next("status", TransientError(HERE, "busy"))
    stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), Policy(tries=2, first_wait_s=0, poll_s=0))
    assert count(tape, "prepare") == count(tape, "release") == 2


def test_requests_of_several_sources_are_all_given_back(tape: MemoryStorage, tmp_path: Path) -> None:
    tape.mount_polls = 10**9
    with pytest.raises(OfflineError):
        stage_in(Input("raw", (HERE, THERE)), tmp_path, InProcessMover(), Policy(poll_s=0, online_within_s=0))
    for url in (HERE, THERE):
        assert count(tape, "prepare", url) == count(tape, "release", url) == 1


def test_a_file_that_never_stays_on_disk_is_given_up(tape: MemoryStorage, tmp_path: Path, impatient: Policy) -> None:
    for _ in range(5):
        tape.fail_next("get", OfflineError(HERE, "back on tape"))
    with pytest.raises(OfflineError, match="back on tape"):
        stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert count(tape, "get") == count(tape, "prepare") == count(tape, "release") == 2


def test_what_a_killed_attempt_asked_for_is_given_back_by_the_next(
    tape: MemoryStorage, tmp_path: Path, impatient: Policy
) -> None:
    killed = TapeRequests(tmp_path)
    killed.bring_online(HERE, InProcessMover(), impatient, deadline=1e12)
    stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert count(tape, "prepare") == count(tape, "release") == 1


def test_requests_for_other_files_stay_noted(tape: MemoryStorage, tmp_path: Path, impatient: Policy) -> None:
    TapeRequests(tmp_path).bring_online(THERE, InProcessMover(), impatient, deadline=1e12)
    stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert count(tape, "release", THERE) == 0
    (noted,) = json.loads((tmp_path / NOTES).read_bytes())
    assert noted["url"] == THERE


def test_an_abort_gives_back_too(tape: MemoryStorage, tmp_path: Path, impatient: Policy) -> None:
    tape.mount_polls = 10**9

    def stop() -> None:
        if ("status", HERE) in tape.calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(stop), impatient)
    assert count(tape, "prepare") == count(tape, "release") == 1
    assert list(tmp_path.iterdir()) == []


class Losing(MemoryStorage):
    """A tape system that gets requests and whose answers are lost, so many times."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.lost = lost
        self.noted: list[bool] = []
        self.notes: Path | None = None

    def prepare(self, urls: Sequence[str]) -> str:
        answer = super().prepare(urls)
        self.noted.append(self.notes is not None and self.notes.exists())
        if self.lost:
            self.lost -= 1
            raise StalledError(urls[0], "the answer is lost")
        return answer


@pytest.fixture
def losing(tmp_path: Path) -> Iterator[Losing]:
    storage = Losing(lost=1)
    storage.files[HERE], storage.notes = b"abc", tmp_path / NOTES
    storage.tape.add(HERE)
    registry.register("memory", storage)
    yield storage
    registry.unregister("memory")


def test_a_request_is_noted_before_it_is_made(losing: Losing, tmp_path: Path, impatient: Policy) -> None:
    stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert losing.noted == [True, True]
    assert not (tmp_path / NOTES).exists()


def test_a_request_whose_answer_was_lost_is_reported_and_only_the_other_given_back(
    losing: Losing, tmp_path: Path, impatient: Policy
) -> None:
    done = stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    lost = "perhaps still asked from the tape system: the answer to the request was lost"
    assert [each.message for each in done.tries] == ["the answer is lost", lost]
    assert (count(losing, "prepare"), count(losing, "release")) == (2, 1)


def test_a_request_that_a_killed_run_was_making_is_reported_by_the_next(
    losing: Losing, tmp_path: Path, impatient: Policy
) -> None:
    losing.lost = 10**9
    with pytest.raises(StalledError):
        TapeRequests(tmp_path).bring_online(HERE, InProcessMover(), impatient, deadline=1e12)
    losing.lost = 0
    done = stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert ["perhaps still asked" in each.message for each in done.tries] == [True]
    assert (count(losing, "prepare"), count(losing, "release")) == (2, 1)


def test_a_request_that_was_never_made_for_want_of_a_credential_is_forgotten(
    tape: MemoryStorage, tmp_path: Path, impatient: Policy
) -> None:
    tape.fail_next("prepare", RenewalError(HERE, "the proxy has ended"))
    with pytest.raises(RenewalError):
        TapeRequests(tmp_path).bring_online(HERE, InProcessMover(), impatient, deadline=1e12)
    assert not (tmp_path / NOTES).exists()


def test_a_request_that_was_refused_is_forgotten(tape: MemoryStorage, tmp_path: Path, impatient: Policy) -> None:
    tape.fail_next("prepare", DeniedError(HERE, "not yours"))
    with pytest.raises(DeniedError) as caught:
        stage_in(Input("raw", (HERE,)), tmp_path, InProcessMover(), impatient)
    assert [each.message for each in caught.value.tries] == ["not yours"]
    assert count(tape, "release") == 0
    assert not (tmp_path / NOTES).exists()
