from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import NoSpaceError, NotFoundError, UnsupportedError
from pilotext.storage.backends.local import LocalStorage
from pilotext.storage.base import Storage
from pilotext.storage.conformance import CONTENT, StorageConformance, ignore
from tests.storage.conftest import no_file_above

LIMIT = len(CONTENT) // 2


class TestLocalStorage(StorageConformance):
    @pytest.fixture
    def storage(self) -> Storage:
        return LocalStorage()

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        return f"file://{tmp_path}/storage/"


class TestLocalStorageWithOneSlash(TestLocalStorage):
    """`file:/path`, as RFC 8089 writes it."""

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        return f"file:{tmp_path}/storage/"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.raw"
    path.write_bytes(CONTENT)
    return path


def test_a_full_disk_leaves_nothing_under_the_name(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "there" / "target.raw"
    with no_file_above(LIMIT), pytest.raises(NoSpaceError) as caught:
        LocalStorage().put(source, f"file://{target}", ignore)
    assert caught.value.url == f"file://{target}"
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_keeps_the_earlier_file(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "target.raw"
    target.write_bytes(b"earlier")
    with no_file_above(LIMIT), pytest.raises(NoSpaceError):
        LocalStorage().get(f"file://{source}", target, ignore)
    assert target.read_bytes() == b"earlier"


def test_what_fits_under_the_limit_is_copied(tmp_path: Path, source: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(CONTENT[:LIMIT])
    with no_file_above(LIMIT):
        LocalStorage().put(small, f"file://{tmp_path}/target", ignore)
    assert (tmp_path / "target").read_bytes() == CONTENT[:LIMIT]


def test_remove_takes_the_part_of_a_killed_copy_along(tmp_path: Path) -> None:
    (tmp_path / ".x.raw.part").write_bytes(b"half")
    with pytest.raises(NotFoundError):
        LocalStorage().remove(f"file://{tmp_path}/x.raw")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_unsupported(tmp_path: Path, source: Path) -> None:
    with pytest.raises(UnsupportedError):
        LocalStorage().put(source, f"file://{tmp_path}/{'x' * 300}", ignore)
