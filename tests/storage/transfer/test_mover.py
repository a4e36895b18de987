from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pilotext.errors import NotFoundError, StalledError, TransientError
from pilotext.storage.base import Copied, FileStat
from pilotext.storage.conformance import CONTENT, adler32
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.transfer.mover import ChildMover, InProcessMover, _Watch
from tests.storage.conftest import eventually
from tests.support.processes import has_ended
from tests.support.xrootd_server import XrdServer

PIECE = 1 << 20


class StopTheJobError(Exception):
    """What a tick raises when the job was told to stop."""


@pytest.fixture
def mover() -> Iterator[ChildMover]:
    with ChildMover(stall_s=20) as running:
        yield running


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A source as slow as its writer."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def feed(pipe: Path, pieces: int, every_s: float, done: threading.Event) -> None:
    with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as writer:
        for _ in range(pieces):
            writer.write(bytes(PIECE))
            time.sleep(every_s)
        done.wait(20)


def test_operations_return_what_the_storage_returns(mover: ChildMover, server: XrdServer, tmp_path: Path) -> None:
    local, url = tmp_path / "x.raw", server.url("/eos/compass/x.raw")
    local.write_bytes(CONTENT)
    assert mover.do("put", path=local, url=url) == Copied(len(CONTENT), adler32(CONTENT))
    assert mover.do("stat", url=url) == FileStat(len(CONTENT))
    assert mover.do("checksum", url=url) == adler32(CONTENT)
    assert mover.do("status", request="", urls=[url]) == {url: "online"}
    assert mover.do("remove", url=url) is None


def test_errors_keep_their_class_and_do_not_end_the_process(mover: ChildMover, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        mover.do("stat", url=f"file://{tmp_path}/missing")
    assert caught.value.url == f"file://{tmp_path}/missing"
    first = mover.pid
    mover.do("prepare", urls=[f"file://{tmp_path}/x"])
    assert mover.pid == first is not None


def test_a_closed_mover_starts_anew(mover: ChildMover) -> None:
    mover.do("prepare", urls=["file:///x"])
    first = mover.pid
    mover.close()
    assert mover.pid is None
    mover.do("prepare", urls=["file:///x"])
    assert first != mover.pid is not None


def test_a_slow_copy_is_not_a_stalled_one(pipe: Path, tmp_path: Path) -> None:
    enough = threading.Event()
    enough.set()
    writer = threading.Thread(target=feed, args=(pipe, 6, 0.4, enough))
    writer.start()
    with ChildMover(stall_s=1.5) as mover:
        assert mover.do("get", url=f"file://{pipe}", path=tmp_path / "arrived").size == 6 * PIECE
    writer.join()


def test_a_slow_local_checksum_is_not_a_stalled_one(pipe: Path) -> None:
    enough = threading.Event()
    enough.set()
    writer = threading.Thread(target=feed, args=(pipe, 6, 0.4, enough))
    writer.start()
    with ChildMover(stall_s=1.5) as mover:
        assert mover.do("checksum", url=f"file://{pipe}") == adler32(bytes(6 * PIECE))
    writer.join()


def test_a_local_checksum_that_stops_reading_is_ended(pipe: Path) -> None:
    over = threading.Event()
    writer = threading.Thread(target=feed, args=(pipe, 2, 0, over))
    writer.start()
    with ChildMover(stall_s=1) as mover, pytest.raises(StalledError):
        mover.do("checksum", url=f"file://{pipe}")
    over.set()
    writer.join()


def test_a_copy_that_stops_moving_is_ended(pipe: Path, tmp_path: Path) -> None:
    over = threading.Event()
    writer = threading.Thread(target=feed, args=(pipe, 2, 0, over))
    writer.start()
    seen: set[int | None] = set()
    own = ChildMover(stall_s=1, tick=lambda: seen.add(own.pid))
    with pytest.raises(StalledError, match="nothing moved for 1 s"):
        own.do("get", url=f"file://{pipe}", path=tmp_path / "arrived")
    over.set()
    writer.join()
    assert own.pid is None
    assert seen - {None}
    assert all(has_ended(pid) for pid in seen if pid)
    assert not (tmp_path / "arrived").exists()


def test_a_frozen_server_stalls_and_its_transfer_process_is_gone(server: XrdServer, tmp_path: Path) -> None:
    (server.store / "eos/compass/x.raw").write_bytes(CONTENT)
    server.give_to_server()
    url = server.url("/eos/compass/x.raw")
    seen: list[int] = []
    with ChildMover(stall_s=3, tick=lambda: seen.append(own.pid or 0)) as own:
        own.do("stat", url=url)
        server.kill(signal.SIGSTOP)
        with pytest.raises(StalledError):
            own.do("get", url=url, path=tmp_path / "arrived")
        assert has_ended(seen[-1])
        server.kill(signal.SIGCONT)
        assert own.do("get", url=url, path=tmp_path / "arrived").size == len(CONTENT)
        assert own.pid != seen[0]


def test_what_the_tick_raises_ends_the_copy_and_goes_up(pipe: Path, tmp_path: Path) -> None:
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(own.pid or 0)
        if len(ticks) == 5:
            raise StopTheJobError

    own = ChildMover(stall_s=20, tick=tick)
    with pytest.raises(StopTheJobError):
        own.do("get", url=f"file://{pipe}", path=tmp_path / "arrived")
    assert ticks[0] > 0
    assert has_ended(ticks[0])


def test_a_transfer_process_that_dies_is_a_transient_error(pipe: Path, tmp_path: Path) -> None:
    own = ChildMover(stall_s=20, tick=lambda: os.kill(own.pid or 0, signal.SIGKILL))
    with pytest.raises(TransientError, match="ended by SIGKILL: it said nothing"):
        own.do("get", url=f"file://{pipe}", path=tmp_path / "arrived")


def test_the_transfer_process_dies_with_a_killed_parent(server: XrdServer) -> None:
    server.kill(signal.SIGSTOP)
    program = f"""
from pilotext.storage.transfer import ChildMover
mover = ChildMover(stall_s=600, tick=lambda: print(mover.pid, flush=True))
mover.do("stat", url="{server.url("/eos/compass/x")}")
"""
    patient = os.environ | {"XRD_CONNECTIONWINDOW": "300", "XRD_REQUESTTIMEOUT": "300", "XRD_STREAMTIMEOUT": "300"}
    with subprocess.Popen([sys.executable, "-c", program], env=patient, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)  # it is in the middle of waiting for the server then
        assert not has_ended(child)
        parent.kill()
    assert eventually(lambda: has_ended(child), within_s=5)


def test_a_forgotten_mover_ends_its_process(tmp_path: Path) -> None:
    mover = ChildMover(stall_s=20)
    mover.do("prepare", urls=[f"file://{tmp_path}/x"])
    pid = mover.pid
    del mover
    assert pid is not None
    assert has_ended(pid)


def test_a_tidier_goes_on_with_the_process_that_is_there(mover: ChildMover) -> None:
    mover.do("prepare", urls=["file:///x"])
    running = mover.pid
    with mover.tidier() as tidier:
        assert mover.pid is None
        assert tidier.pid == running
        tidier.do("prepare", urls=["file:///x"])
    mover.do("prepare", urls=["file:///x"])
    assert mover.pid != running


def test_a_hurried_mover_waits_less_and_only_inside_the_block(pipe: Path, tmp_path: Path) -> None:
    with ChildMover(stall_s=600) as mover:
        with mover.hurried(), pytest.raises(StalledError, match="nothing moved for 5 s"):
            mover.do("get", url=f"file://{pipe}", path=tmp_path / "arrived")
        assert mover.do("status", request="", urls=[f"file://{pipe}"])
    with ChildMover(stall_s=0.5) as mover, mover.hurried(), pytest.raises(StalledError, match=r"moved for 0\.5 s"):
        mover.do("get", url=f"file://{pipe}", path=tmp_path / "arrived")


@pytest.mark.parametrize("kind", [ChildMover, InProcessMover])
def test_a_pause_ticks_and_can_be_ended(kind: type[ChildMover | InProcessMover]) -> None:
    ticks: list[None] = []

    def tick() -> None:
        ticks.append(None)
        if len(ticks) == 3:
            raise StopTheJobError

    mover = kind(20, tick) if kind is ChildMover else InProcessMover(tick)
    with pytest.raises(StopTheJobError):
        mover.pause(600)
    assert len(ticks) == 3


def test_in_process_operations_reach_memory_and_tick(memory: MemoryStorage, tmp_path: Path) -> None:
    ticks: list[None] = []
    memory.files["memory://x"] = b"abc"
    mover = InProcessMover(tick=lambda: ticks.append(None))
    assert mover.do("get", url="memory://x", path=tmp_path / "x") == Copied(3, "024d0127")
    assert ticks
    with pytest.raises(NotFoundError):
        mover.do("stat", url="memory://y")


def trickle(pipe: Path, until: threading.Event) -> None:
    """Write 1 MB a quarter of a second, which is 4 MB/s at the most."""
    with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as writer:
        while not until.wait(0.25):
            writer.write(bytes(PIECE))


def test_a_transfer_that_moves_far_too_little_is_ended(pipe: Path, tmp_path: Path) -> None:
    over = threading.Event()
    writer = threading.Thread(target=trickle, args=(pipe, over))
    writer.start()
    with ChildMover(stall_s=1, min_kb_s=1_000_000) as mover:
        with pytest.raises(
            StalledError, match=r"kB/s moved for \d s, at least 1e\+06 are wanted; the transfer was ended"
        ):
            mover.do("get", url=f"file://{pipe}", path=tmp_path / "arrived")
        assert mover.pid is None
    over.set()
    writer.join()


def test_a_transfer_that_moves_slowly_but_enough_is_not_ended(pipe: Path, tmp_path: Path) -> None:
    enough = threading.Event()
    enough.set()
    writer = threading.Thread(target=feed, args=(pipe, 16, 0.25, enough))
    writer.start()
    with ChildMover(stall_s=1, min_kb_s=1) as mover:
        assert mover.do("get", url=f"file://{pipe}", path=tmp_path / "arrived").size == 16 * PIECE
    writer.join()


def test_reading_back_what_arrived_is_no_slow_transfer() -> None:
    watch = _Watch(stall_s=10, min_kb_s=1000)
    for done in (1_000_000, 2_000_000, *[2_000_000] * 600):
        watch.saw([done], 0.1)
    assert not watch.problem


def test_waiting_for_the_first_byte_is_no_slow_transfer() -> None:
    watch = _Watch(stall_s=10, min_kb_s=1000)
    for _ in range(99):
        watch.saw([], 0.1)
    watch.saw([1], 0.1)
    watch.saw([2_000_000], 0.2)
    assert watch.problem == ""


def test_silence_after_the_first_bytes_is_a_stall() -> None:
    watch = _Watch(stall_s=10, min_kb_s=1000)
    watch.saw([2_000_000], 0.2)
    for _ in range(102):
        watch.saw([], 0.1)
    assert watch.problem == "nothing moved for 10 s"
