from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import UnsupportedError
from pilotext.storage.base import Copied, Storage
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.operations import RESULTS, perform, subject


def test_every_operation_of_a_storage_travels() -> None:
    assert set(RESULTS) == {name for name in vars(Storage) if not name.startswith("_")}


def test_an_operation_finds_its_storage_by_its_url(memory: MemoryStorage, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    moved: list[int] = []
    sent = perform("put", {"path": f"{tmp_path}/x", "url": "memory://a"}, moved.append)
    assert sent == Copied(3, "024d0127")
    perform("move", {"source": "memory://a", "target": "memory://b"}, moved.append)
    assert perform("status", {"request": "", "urls": ["memory://b"]}, moved.append) == {"memory://b": "online"}
    assert moved == [3]


def test_an_operation_about_nothing_is_refused() -> None:
    assert subject({"urls": []}) == ""
    with pytest.raises(UnsupportedError, match="no scheme"):
        perform("prepare", {"urls": []}, print)
