from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import NotFoundError, OfflineError, TransientError
from pilotext.storage.base import Storage
from pilotext.storage.conformance import StorageConformance, ignore
from pilotext.storage.memory import MemoryStorage

RAW = "memory://castor/cdr13040-275772.raw"


class TestMemoryStorage(StorageConformance):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()

    @pytest.fixture
    def base(self) -> str:
        return "memory://eos/compass/"


@pytest.fixture
def tape() -> MemoryStorage:
    storage = MemoryStorage(mount_polls=2)
    storage.files[RAW] = b"events"
    storage.tape.add(RAW)
    return storage


def test_a_file_on_tape_has_a_size_but_cannot_be_read(tape: MemoryStorage, tmp_path: Path) -> None:
    assert tape.stat(RAW).offline
    assert tape.stat(RAW).size == 6
    with pytest.raises(OfflineError):
        tape.get(RAW, tmp_path / "raw", ignore)
    with pytest.raises(OfflineError):
        tape.checksum(RAW)


def test_a_prepared_file_comes_online_after_a_while(tape: MemoryStorage, tmp_path: Path) -> None:
    request = tape.prepare([RAW])
    assert [tape.status(request, [RAW])[RAW] for _ in range(3)] == ["offline", "online", "online"]
    tape.get(RAW, tmp_path / "raw", ignore)
    assert (tmp_path / "raw").read_bytes() == b"events"


def test_a_file_nobody_prepared_stays_on_tape(tape: MemoryStorage) -> None:
    assert [tape.status("", [RAW])[RAW] for _ in range(3)] == ["offline"] * 3


def test_a_call_fails_once_when_told_to(tape: MemoryStorage) -> None:
    tape.fail_next("stat", TransientError(RAW, "server restarting"))
    with pytest.raises(TransientError, match="server restarting"):
        tape.stat(RAW)
    assert tape.stat(RAW).size == 6
    with pytest.raises(NotFoundError):
        tape.stat(RAW + "x")
