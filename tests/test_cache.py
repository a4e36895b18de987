from __future__ import annotations

from pathlib import Path

import pytest

from pilotext import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PILOTEXT_CACHE", str(folder))
    return folder


def test_what_is_kept_is_there_again(folder: Path) -> None:
    cache.put("one", b"content")
    assert cache.get("one") == b"content"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_was_never_kept_is_not_there(folder: Path) -> None:
    assert cache.get("one") is None


def test_what_was_damaged_is_not_there(folder: Path) -> None:
    cache.put("one", b"content")
    data = bytearray((folder / "one.pilotext").read_bytes())
    data[-1] ^= 1
    (folder / "one.pilotext").write_bytes(data)
    assert cache.get("one") is None


def test_a_folder_that_others_may_write_to_is_not_trusted(folder: Path) -> None:
    cache.put("one", b"content")
    folder.chmod(0o777)
    assert cache.get("one") is None
    cache.put("two", b"content")
    assert [path.name for path in folder.iterdir()] == ["one.pilotext"]


def test_the_oldest_goes_when_there_are_too_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_FILES", 2)
    for name in ("one", "two", "three"):
        cache.put(name, b"")
    assert cache.get("three") == b""
    assert len([*folder.iterdir()]) == 2


def test_files_that_are_not_of_the_cache_never_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_FILES", 1)
    folder.mkdir(mode=0o700)
    (folder / "thesis.tex").write_text("of somebody")
    for name in ("one", "two", "three"):
        cache.put(name, b"")
    assert {path.name for path in folder.iterdir()} == {"thesis.tex", "three.pilotext"}


@pytest.mark.parametrize("place", ["", "/proc/nowhere"])
def test_where_nothing_can_be_kept_nothing_is(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("PILOTEXT_CACHE", place)
    cache.put("one", b"content")
    assert cache.get("one") is None


def test_it_is_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTEXT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache.put("one", b"content")
    assert (tmp_path / "pilotext" / "one.pilotext").exists()
