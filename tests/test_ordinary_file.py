"""Small files in places where somebody else may have put something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotext.ordinary_file import read_ordinary


def test_the_beginning_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    (tmp_path / "link").symlink_to("file")
    assert read_ordinary(tmp_path / "file", 4) == b"abcd"
    assert read_ordinary(tmp_path / "link", 100) == b"abcdef"


def test_a_link_is_refused_where_none_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    (tmp_path / "link").symlink_to("file")
    assert read_ordinary(tmp_path / "file", 100, follow=False) == b"abcdef"
    with pytest.raises(OSError, match="symbolic links"):
        read_ordinary(tmp_path / "link", 100, follow=False)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("held_open", [False, True])
def test_a_pipe_is_refused_at_once_also_while_somebody_writes_to_it(held_open: bool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR) if held_open else None
    with pytest.raises(OSError, match="no ordinary file"):
        read_ordinary(tmp_path / "pipe", 100)
    if writer is not None:
        os.close(writer)


@pytest.mark.parametrize("path", ["/dev/zero", "/tmp"])
def test_a_device_and_a_folder_are_refused(path: str) -> None:
    with pytest.raises(OSError, match=r"no ordinary file|directory"):
        read_ordinary(Path(path), 100)
