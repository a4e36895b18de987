from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import uproot

from pilotext.formats.root_file import header_fault

# Positions in the header of a file below 2 GB: fEND, fSeekFree, fNbytesName, fSeekInfo.
END, SEEK_FREE, BYTES_NAME, SEEK_INFO = 12, 16, 28, 37


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "275772-12019-0.root"
    with uproot.recreate(path) as file:
        file["h"] = np.histogram([1.0, 2.0])
    return path


def put(path: Path, offset: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(">i", value))


def large(path: Path) -> None:
    """Rewrite the header of a small file in the layout of files above 2 GB; the name's record leaves the room."""
    content = bytearray(path.read_bytes())
    numbers = struct.unpack_from(">4siiiiiiibiii", content)
    struct.pack_into(">4siiqqiiibiqi", content, 0, numbers[0], numbers[1] + 1_000_000, *numbers[2:])
    path.write_bytes(content)


def sentence(path: Path) -> str:
    fault = header_fault(path)
    return fault.text if fault else "no fault"


def test_a_closed_file_has_no_fault(root: Path) -> None:
    assert header_fault(root) is None


def test_the_layout_of_large_files_is_understood(root: Path) -> None:
    large(root)

    assert header_fault(root) is None
    os.truncate(root, root.stat().st_size - 1)
    assert "is truncated at" in sentence(root)


@pytest.mark.parametrize("lost", [1, 100, 500])
def test_a_truncated_file_is_told_with_the_size_it_should_have(root: Path, lost: int) -> None:
    size = root.stat().st_size
    os.truncate(root, size - lost)

    fault = header_fault(root)
    assert fault is not None
    assert (fault.text, fault.offset) == (
        f"the file is truncated at {size - lost} bytes: should be {size}.",
        size - lost,
    )


def test_bytes_behind_the_end_mean_that_the_file_was_not_closed(root: Path) -> None:
    with root.open("ab") as file:
        file.write(b"a basket that was written after the last header")

    assert "it was not closed" in sentence(root)


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"", "the file is empty"),
        (b"PanDA message: the file is empty\n", "this is not a ROOT file: it begins with b'PanD'"),
        (b"root\0\0\xf3\xb4", "the file ends inside its header, after 8 bytes"),
    ],
)
def test_what_is_no_root_file_is_told_by_its_first_bytes(tmp_path: Path, content: bytes, start: str) -> None:
    path = tmp_path / "mDST.root"
    path.write_bytes(content)

    assert sentence(path).startswith(start)


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (8, 4, "the first record is at byte 4"),
        (8, 2**31 - 1, "the first record is at byte 2147483647"),
        (BYTES_NAME, -5, "the name of the file has -5 bytes"),
        (BYTES_NAME, 2**30, "the name of the file has 1073741824 bytes"),
        (SEEK_FREE, 0, "the list of free segments was never written"),
        (SEEK_FREE, 2**30, "the list of free segments should be at byte 1073741824"),
        (SEEK_INFO, 2**30, "the description of classes should be at byte 1073741824"),
        (SEEK_INFO, 110, "the description of classes should have"),
    ],
)
def test_a_header_that_points_nowhere_is_told(root: Path, offset: int, value: int, said: str) -> None:
    put(root, offset, value)

    assert said in sentence(root)


def test_a_key_list_that_was_never_written_means_that_the_file_was_not_closed(root: Path) -> None:
    begin, name = (struct.unpack_from(">i", root.read_bytes(), at)[0] for at in (8, BYTES_NAME))
    put(root, begin + name + 18 + 8, 0)

    assert sentence(root) == "the list of keys was never written: the file was not closed."
