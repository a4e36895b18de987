from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.errors import (
    ChecksumError,
    DeniedError,
    NoSpaceError,
    NotFoundError,
    OfflineError,
    SizeError,
    StorageError,
    TransientError,
)
from pilotext.model.job import Input
from pilotext.storage.conformance import CONTENT, adler32
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.retry import Policy
from pilotext.storage.stage_in import stage_in
from pilotext.storage.transfer import ChildMover, InProcessMover
from tests.storage.conftest import no_file_above
from tests.support.xrootd_server import XrdServer, serving

NAME = "cdr13040-275772.raw"
HERE, THERE = f"memory://eos/{NAME}", f"memory://castor/{NAME}"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def mover() -> Iterator[ChildMover]:
    with ChildMover(stall_s=20) as running:
        yield running


def raw(*sources: str, size: int | None = None, checksum: str | None = None) -> Input:
    return Input(NAME, sources, size, checksum)


def faults(error: StorageError) -> list[str]:
    return [each.fault for each in error.tries]


def store(server: XrdServer, data: bytes) -> str:
    (server.store / "eos/compass" / NAME).write_bytes(data)
    server.give_to_server()
    return server.url(f"/eos/compass/{NAME}")


# ------------------------------------------------------------------------------------------------ over real servers


def test_a_file_arrives_whole_under_its_name(
    server: XrdServer, work: Path, mover: ChildMover, impatient: Policy
) -> None:
    url = store(server, CONTENT)
    done = stage_in(raw(url, size=len(CONTENT), checksum=adler32(CONTENT).upper()), work, mover, impatient)
    assert (done.name, done.url, done.size, done.adler32, done.tries) == (NAME, url, len(CONTENT), adler32(CONTENT), ())
    assert [path.name for path in work.iterdir()] == [NAME]
    assert (work / NAME).read_bytes() == CONTENT


def test_the_next_source_serves_when_the_first_is_missing_or_dead(
    server: XrdServer, work: Path, mover: ChildMover
) -> None:
    url = store(server, CONTENT)
    with serving() as closed:
        dead = closed.url(f"/eos/compass/{NAME}")
    missing = server.url("/eos/compass/missing.raw")
    done = stage_in(raw(missing, dead, url), work, mover, Policy(tries=2, first_wait_s=0))
    assert done.url == url
    assert [(each.url, each.fault) for each in done.tries] == [
        (missing, "not-found"),
        (dead, "unreachable"),
        (dead, "unreachable"),
    ]
    assert (work / NAME).read_bytes() == CONTENT


def test_a_frozen_source_is_left_for_the_next(server: XrdServer, work: Path) -> None:
    url = store(server, CONTENT)
    with serving() as frozen, ChildMover(stall_s=1) as mover:
        stuck = store(frozen, CONTENT)
        frozen.kill(signal.SIGSTOP)
        done = stage_in(raw(stuck, url), work, mover, Policy(tries=1))
    assert done.url == url
    assert [each.fault for each in done.tries] == ["stalled"]


def test_bytes_that_rotted_on_the_server_are_copied_twice_and_then_blamed(
    server: XrdServer, work: Path, mover: ChildMover, impatient: Policy
) -> None:
    url = store(server, CONTENT)
    mover.do("checksum", url=url)  # from now on the server remembers it
    stored = server.store / "eos/compass" / NAME
    then = stored.stat()
    stored.write_bytes(bytes(len(CONTENT)))
    os.utime(stored, ns=(then.st_atime_ns, then.st_mtime_ns))
    with pytest.raises(ChecksumError) as caught:
        stage_in(raw(url), work, mover, impatient)
    assert faults(caught.value) == ["checksum", "checksum"]
    assert list(work.iterdir()) == []


def test_a_truncated_source_is_a_size_error(
    server: XrdServer, work: Path, mover: ChildMover, impatient: Policy
) -> None:
    url = store(server, CONTENT[:-1])
    with pytest.raises(SizeError, match=f"{len(CONTENT) - 1} bytes, the catalogue says {len(CONTENT)}"):
        stage_in(raw(url, size=len(CONTENT)), work, mover, impatient)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("scheme", ["root", "file"])
def test_a_full_local_disk_is_no_space_and_leaves_nothing(
    server: XrdServer, work: Path, tmp_path: Path, scheme: str
) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    url = store(server, CONTENT) if scheme == "root" else f"file://{tmp_path}/{NAME}"
    with no_file_above(len(CONTENT) // 2), ChildMover(stall_s=20) as mover, pytest.raises(NoSpaceError):
        stage_in(raw(url), work, mover, Policy(tries=1))
    assert list(work.iterdir()) == []


# ------------------------------------------------------------------------------------------------------- in memory


def test_a_file_unlike_the_catalogue_s_is_copied_twice_and_then_blamed(
    memory: MemoryStorage, work: Path, impatient: Policy
) -> None:
    memory.files[HERE] = b"other events"
    with pytest.raises(ChecksumError, match=r"1f2e04d8 arrived, the catalogue says 24d0127\.") as caught:
        stage_in(raw(HERE, checksum="24d0127"), work, InProcessMover(), impatient)
    assert memory.calls.count(("get", HERE)) == 2
    assert faults(caught.value) == ["checksum", "checksum"]
    assert list(work.iterdir()) == []


def test_a_fresh_copy_may_be_the_right_one(memory: MemoryStorage, work: Path, impatient: Policy) -> None:
    memory.files[HERE] = b"abc"
    memory.fail_next("get", ChecksumError(HERE, "flipped on the way"))
    done = stage_in(raw(HERE, checksum="024d0127"), work, InProcessMover(), impatient)
    assert [each.message for each in done.tries] == ["flipped on the way"]


def test_a_file_on_tape_is_asked_for_once_and_waited_for(memory: MemoryStorage, work: Path, impatient: Policy) -> None:
    memory.files[HERE] = b"abc"
    memory.tape.add(HERE)
    done = stage_in(raw(HERE), work, InProcessMover(), impatient)
    assert (done.size, done.tries) == (3, ())
    assert memory.calls.count(("prepare", HERE)) == 1


def test_a_file_that_stays_on_tape_gives_way_to_the_next_source(memory: MemoryStorage, work: Path) -> None:
    memory.files |= {HERE: b"abc", THERE: b"abc"}
    memory.tape.add(THERE)
    memory.fail_next("prepare", TransientError(THERE, "busy"))
    memory.mount_polls = 10**9
    short = Policy(tries=2, first_wait_s=0, poll_s=0, online_within_s=0)
    done = stage_in(raw(THERE, HERE), work, InProcessMover(), short)
    assert [each.fault for each in done.tries] == ["unreachable", "offline", "unreachable"]
    assert "the answer to the request was lost" in done.tries[-1].message
    with pytest.raises(OfflineError, match="still on tape"):
        stage_in(raw(THERE), work, InProcessMover(), short)


def test_a_file_the_tape_system_has_lost_is_not_found(memory: MemoryStorage, work: Path, impatient: Policy) -> None:
    memory.fail_next("stat", OfflineError(HERE, "on tape"))
    with pytest.raises(NotFoundError, match="tape system"):
        stage_in(raw(HERE), work, InProcessMover(), impatient)


def test_the_error_is_that_of_the_last_source_with_all_tries(
    memory: MemoryStorage, work: Path, impatient: Policy
) -> None:
    memory.fail_next("stat", DeniedError(HERE, "closed"))
    with pytest.raises(NotFoundError) as caught:
        stage_in(raw(HERE, THERE), work, InProcessMover(), impatient)
    assert [(each.url, each.fault) for each in caught.value.tries] == [(HERE, "denied"), (THERE, "not-found")]


def test_a_file_without_sources_is_not_found(work: Path, impatient: Policy) -> None:
    with pytest.raises(NotFoundError, match="names no source"):
        stage_in(raw(), work, InProcessMover(), impatient)


def test_an_abort_leaves_nothing_in_the_work_directory(memory: MemoryStorage, work: Path, impatient: Policy) -> None:
    memory.files[HERE] = b"abc"

    def stop() -> None:
        if ("get", HERE) in memory.calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage_in(raw(HERE), work, InProcessMover(stop), impatient)
    assert list(work.iterdir()) == []


def test_a_missing_work_directory_is_said(tmp_path: Path, impatient: Policy) -> None:
    with pytest.raises(NotFoundError, match="no/such"):
        stage_in(raw(HERE), tmp_path / "no/such", InProcessMover(), impatient)


def test_the_time_for_tape_is_that_of_the_file_and_not_of_each_source(memory: MemoryStorage, work: Path) -> None:
    sources = [f"memory://castor{number}/{NAME}" for number in range(4)]
    memory.files |= dict.fromkeys(sources, b"abc")
    memory.tape |= set(sources)
    memory.mount_polls = 10**9
    waits = Waits()
    with pytest.raises(OfflineError):
        stage_in(raw(*sources), work, waits, Policy(tries=1, poll_s=0.2, jitter=0, online_within_s=0.5))
    assert sum(waits.seconds) < 2 * 0.5
    assert [memory.calls.count(("prepare", url)) for url in sources] == [1, 1, 1, 1]


class Waits(InProcessMover):
    """Notes how long it waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)
        super().pause(seconds)
