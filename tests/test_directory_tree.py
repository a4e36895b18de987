"""Trees of any shape are walked and removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext import directory_tree
from pilotext.directory_tree import Walk, remove_tree

DEEP = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[2])):
    os.mkdir("folder"); os.chdir("folder")
with open("big", "wb") as file:
    file.write(b"x" * 3_000_000)
"""


def make_deep(top: Path, levels: int) -> None:
    top.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-S", "-c", DEEP, str(top), str(levels)], check=True)


def size_of(top: Path) -> int:
    return sum(found.st_blocks * 512 for found in Walk(top))


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    top = tmp_path / "top"
    top.mkdir()
    yield top
    subprocess.run(["rm", "-rf", str(top)], check=True)  # pytest itself cannot


@pytest.mark.parametrize("levels", [1, 1100, 3000])  # Python's recursion limit is 1000, PATH_MAX 4096 bytes
def test_a_tree_of_any_depth_is_walked_and_removed(top: Path, levels: int) -> None:
    make_deep(top, levels)
    walk = Walk(top)
    found = list(walk)
    assert len(found) == levels + 1
    assert sum(each.st_size for each in found if stat.S_ISREG(each.st_mode)) == 3_000_000
    assert not walk.too_deep
    assert remove_tree(top)
    assert not top.exists()


def test_what_is_too_deep_is_told_and_removed_all_the_same(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_tree, "MAX_DEPTH", 10)
    monkeypatch.setattr(directory_tree, "MAX_DEPTH_REMOVED", 7)
    make_deep(top, 40)
    walk = Walk(top)
    assert len(list(walk)) == 11
    assert walk.too_deep == 1
    assert remove_tree(top)


def test_a_folder_with_more_folders_than_are_remembered_is_read_to_its_end(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_tree, "MAX_WAITING_FOLDERS", 7)
    monkeypatch.setattr(directory_tree, "MIN_WAITING_FOLDERS", 2)
    for number in range(40):
        (top / f"{number}/below").mkdir(parents=True)
        (top / f"{number}/below/file").touch()
        (top / f"file-{number}").touch()
    assert len(list(Walk(top))) == 40 * 4
    assert remove_tree(top)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_folders_closed_by_their_mode_are_walked_and_removed_by_their_owner(top: Path) -> None:
    inner = top / "closed/below"
    inner.mkdir(parents=True)
    (inner / "big").write_bytes(b"x" * 3_000_000)
    for path in (top, top / "closed", inner):
        os.chown(path, 65534, 65534)
    for path in (inner, top / "closed", top):
        path.chmod(0)
    top.parent.chmod(0o777)
    made_by_pytest = [above for above in top.parents[1:] if Path(tempfile.gettempdir()) in above.parents]
    for above in made_by_pytest:
        above.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            list(top.iterdir())
        assert size_of(top) >= 3_000_000
        for path in (inner, top / "closed"):
            path.chmod(0)
        assert remove_tree(top / "closed")
    finally:
        os.seteuid(0)
    assert remove_tree(top)
    assert not top.exists()


def test_links_are_removed_and_what_they_point_to_is_not(top: Path) -> None:
    outside = top.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x" * 3_000_000)
    (top / "link").symlink_to(outside)
    assert size_of(top) < 1_000_000
    assert remove_tree(top)
    assert (outside / "precious").exists()
    top.symlink_to(outside)
    assert remove_tree(top)
    assert (outside / "precious").exists()


def test_a_name_that_is_no_text_is_walked_and_removed(top: Path) -> None:
    folder = os.fsencode(top) + b"/\xff"
    os.mkdir(folder)  # noqa: PTH102  Path takes no bytes
    os.mkdir(folder + b"/\xfe")  # noqa: PTH102
    assert len(list(Walk(top))) == 2
    assert remove_tree(top)


def test_a_folder_that_moves_while_it_is_walked_ends_the_walk(top: Path) -> None:
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").touch()
    (top.parent / "elsewhere").mkdir()
    with pytest.raises(directory_tree.TreeChangedError):
        for found in Walk(top):
            if stat.S_ISREG(found.st_mode):
                (top / "a/b").rename(top.parent / "elsewhere/b")


def test_another_file_system_is_not_entered(top: Path) -> None:
    """The way into it is not taken, wherever it is mounted: /dev of this machine holds at least one more."""
    devices = {found.st_dev for found in Walk(Path("/dev")) if not stat.S_ISDIR(found.st_mode)}
    assert devices == {Path("/dev").stat().st_dev}


def test_what_is_not_there_is_gone(top: Path) -> None:
    assert remove_tree(top / "nothing")
    with pytest.raises(FileNotFoundError):
        list(Walk(top / "nothing"))
