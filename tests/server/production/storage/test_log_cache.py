"""Cache of archives: what is fetched, what is refused, and its bounds."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connections

from pilotext.server.boot import boot
from pilotext.server.times import later, now

boot()

from pilotext.errors import TransientError  # noqa: E402  needs boot
from pilotext.model.log_index import Index, Member, Part  # noqa: E402
from pilotext.profile.records import STORAGE_BREAKER  # noqa: E402
from pilotext.server.production.models import Breaker, Experiment  # noqa: E402
from pilotext.server.production.storage import log_cache, operations  # noqa: E402
from pilotext.server.production.storage.log_cache import LogUnavailableError, open_archive  # noqa: E402
from pilotext.storage.memory import MemoryStorage  # noqa: E402
from pilotext.storage.transfer import InProcessMover  # noqa: E402
from pilotext.storage.urls import server_of  # noqa: E402
from tests.server.merged import storage  # noqa: E402, F401
from tests.server.support import submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "own_cache")
URL = "memory://eos/logs/t1-1-1.job.log.tgz"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log_cache._paused.clear()
    yield tmp_path / f"pilotext-logs-{os.getuid()}"


def archive_of(files: dict[str, bytes], *, indexed: bool = True) -> bytes:
    found = io.BytesIO()
    members = tuple(
        Member(name, len(data), len(data), 1, "", (Part(0, len(data), 0, 1),)) for name, data in files.items()
    )
    with tarfile.open(fileobj=found, mode="w:gz") as archive:
        for name, data in (
            {**files, "INDEX.json": msgspec.json.encode(Index(1, members, {}))} if indexed else files
        ).items():
            header = tarfile.TarInfo(f"t1-1-1/{name}")
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return found.getvalue()


@pytest.fixture
def experiment() -> int:
    submit()
    return Experiment.objects.get(name="COMPASS").pk


def test_an_archive_is_fetched_once(storage: MemoryStorage, experiment: int) -> None:  # noqa: F811
    storage.files[URL] = archive_of({"payload_stderr.txt": b"FATAL\n"})
    log = open_archive(URL, experiment)["payload_stderr.txt"]
    assert (log.path.read_bytes(), log.size) == (b"FATAL\n", 6)
    assert log.index is not None
    del storage.files[URL]
    assert list(open_archive(URL, experiment)) == ["payload_stderr.txt"]
    with pytest.raises(LogUnavailableError):
        open_archive(URL, experiment, adler32="another")


def test_an_archive_without_an_index_is_readable(storage: MemoryStorage, experiment: int) -> None:  # noqa: F811
    storage.files[URL] = archive_of({"a": b"x"}, indexed=False)
    assert open_archive(URL, experiment)["a"].index is None


def test_an_index_that_lies_about_a_size_is_not_believed(storage: MemoryStorage, experiment: int) -> None:  # noqa: F811
    wrong = msgspec.json.encode(Index(1, (Member("a", 9, 9, 1, "", ()),), {}))
    storage.files[URL] = archive_of({"a": b"x", "INDEX.json": wrong}, indexed=False)
    assert open_archive(URL, experiment)["a"].index is None


def test_names_in_an_archive_never_become_paths(storage: MemoryStorage, experiment: int, own_cache: Path) -> None:  # noqa: F811
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w:gz") as archive:
        for name in ("../../evil", "/etc/evil", "a\nb"):
            header = tarfile.TarInfo(name)
            header.size = 1
            archive.addfile(header, io.BytesIO(b"x"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    storage.files[URL] = found.getvalue()
    assert {"evil", "a?b"} == set(open_archive(URL, experiment))
    (folder,) = own_cache.iterdir()
    assert {path.name for path in folder.iterdir()} == {"0", "1", "2", "names"}


@pytest.mark.parametrize("data", [b"", b"not an archive", archive_of({"a": b"x" * 9000})[:-30]])
def test_what_is_no_archive_is_said_and_leaves_nothing(
    storage: MemoryStorage,  # noqa: F811
    experiment: int,
    own_cache: Path,
    data: bytes,
) -> None:
    storage.files[URL] = data
    with pytest.raises(LogUnavailableError, match="not a whole archive"):
        open_archive(URL, experiment)
    assert list(own_cache.iterdir()) == []


def test_a_bomb_is_not_unpacked(storage: MemoryStorage, experiment: int, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(log_cache, "MAX_UNPACKED_BYTES", 100_000)
    storage.files[URL] = archive_of({"a": b"0" * 1_000_000})
    assert len(storage.files[URL]) < 10_000
    with pytest.raises(LogUnavailableError, match="more than 100000 bytes"):
        open_archive(URL, experiment)


def test_an_archive_that_is_too_large_is_not_fetched(
    storage: MemoryStorage,  # noqa: F811
    experiment: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_cache, "MAX_ARCHIVE_BYTES", 10)
    storage.files[URL] = archive_of({"a": b"x"})
    with pytest.raises(LogUnavailableError, match="more than 10 are not fetched"):
        open_archive(URL, experiment)


def test_a_place_that_failed_is_left_alone_for_a_moment(storage: MemoryStorage, experiment: int) -> None:  # noqa: F811
    with pytest.raises(LogUnavailableError):
        open_archive(URL, experiment)
    storage.files[URL] = archive_of({"a": b"x"})
    with pytest.raises(LogUnavailableError, match="asked again in"):
        open_archive(URL, experiment)
    log_cache._paused.clear()
    assert "a" in open_archive(URL, experiment)


def test_a_server_that_is_known_to_be_away_is_not_asked(storage: MemoryStorage, experiment: int) -> None:  # noqa: F811
    storage.files[URL] = archive_of({"a": b"x"})
    Breaker.objects.create(
        experiment_id=experiment,
        rule=STORAGE_BREAKER,
        scope=server_of(URL),
        state="open",
        due=later(now(), 500),
        why="gone",
    )
    with pytest.raises(LogUnavailableError, match="does not answer: gone"):
        open_archive(URL, experiment)


class Hanging(InProcessMover):
    """A storage that answers nothing, until its caller gives up."""

    going: threading.Event = threading.Event()

    def do(self, operation: Any, **arguments: Any) -> Any:
        self.going.set()
        for _ in range(2000):
            time.sleep(0.01)
            self._tick()
        raise TransientError("memory://eos", "nobody gave up")


def test_a_dead_server_holds_few_threads_and_none_for_long(experiment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "open_mover", Hanging)
    monkeypatch.setattr(log_cache, "WITHIN_S", 1.0)
    told: list[str] = []

    def ask(number: int) -> None:
        try:
            open_archive(f"{URL}{number}", experiment)
        except LogUnavailableError as error:
            told.append(str(error))
        finally:
            connections.close_all()  # those of this thread

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(told) == 6
    assert sum("did not deliver it within 1 s" in each for each in told) == log_cache.MAX_AT_ONCE
    assert sum("are being fetched already" in each for each in told) == 6 - log_cache.MAX_AT_ONCE


def test_the_cache_stays_small_and_keeps_what_was_read_last(
    storage: MemoryStorage,  # noqa: F811
    experiment: int,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_cache, "MAX_CACHE_BYTES", 5_000)
    for number in range(5):
        storage.files[f"{URL}{number}"] = archive_of({"a": b"x" * 2_000})
        open_archive(f"{URL}{number}", experiment)
        for age, entry in enumerate(sorted(own_cache.iterdir(), key=lambda path: -path.stat().st_mtime)):
            os.utime(entry, (1e9 - age, 1e9 - age))
    assert len(list(own_cache.iterdir())) <= 3
    del storage.files[f"{URL}4"]
    open_archive(f"{URL}4", experiment)


def test_a_folder_of_somebody_else_is_not_used(own_cache: Path, experiment: int) -> None:
    own_cache.mkdir(mode=0o777)
    own_cache.chmod(0o777)
    with pytest.raises(LogUnavailableError, match="belongs to others"):
        open_archive(URL, experiment)
