from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pilotext.storage.base import CHUNK, adler32_of, hex8


def test_a_file_longer_than_one_piece_has_the_checksum_of_the_whole(tmp_path: Path) -> None:
    data = bytes(range(251)) * (2 * CHUNK // 251 + 7)
    path, seen = tmp_path / "raw", list[int]()
    path.write_bytes(data)
    assert adler32_of(path, seen.append) == f"{zlib.adler32(data):08x}"
    assert seen == [CHUNK, 2 * CHUNK, len(data)]


def test_a_missing_file_has_no_checksum(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        adler32_of(tmp_path / "missing")


@given(some.integers(0, 2**32 - 1))
def test_a_checksum_has_8_digits_however_the_server_writes_it(value: int) -> None:
    assert hex8(value) == hex8(f"{value:x}") == hex8(f"{value:010X}") == f"{value:08x}"


def test_text_that_is_no_checksum_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        hex8("none")
