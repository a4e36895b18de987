"""The header of a ROOT file, and what it alone can prove: that the file was closed and has not lost its end.

Big-endian numbers; files written by version 1000000 and above (files that passed 2 GB) have 64-bit positions.
Layout: ROOT's class TFile, and TDirectoryFile for the record of the top directory.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from pilotext.model import Record

_START = struct.Struct(">4sii")
_SMALL = struct.Struct(">iiiiibiii")
_LARGE = struct.Struct(">qqiiibiqi")
_LARGE_FILE = 1_000_000
# The top directory's record: version, two dates, bytes of its keys, bytes of its name; then three positions.
_DIRECTORY = struct.Struct(">hIIii")
_LARGE_DIRECTORY = 1000
_KEY_SIZE = struct.Struct(">i")


class Fault(Record, frozen=True):
    """What is wrong with a ROOT file, in a sentence, and the byte where it shows (None where no single byte does)."""

    text: str
    offset: int | None = None


class _Header(Record, frozen=True):
    """The numbers of a file's first record, with ROOT's names for them."""

    begin: int
    end: int
    seek_free: int
    bytes_free: int
    bytes_name: int
    seek_info: int
    bytes_info: int


def header_fault(path: Path) -> Fault | None:
    """What is wrong with the header, the size and the records at the end of a ROOT file; None when all agree.

    Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(_START.size + _LARGE.size)
        if fault := _start_fault(start, size):
            return fault
        header = _decode(start)
        return _size_fault(header, size) or _records_fault(file, header)


def _start_fault(start: bytes, size: int) -> Fault | None:
    if not start:
        return Fault("the file is empty.", 0)
    if start[:4] != b"root":
        return Fault(f"this is not a ROOT file: it begins with {start[:4]!r}.", 0)
    if len(start) < _START.size + _LARGE.size:
        return Fault(f"the file ends inside its header, after {size} bytes.", size)
    return None


def _decode(start: bytes) -> _Header:
    _, version, begin = _START.unpack_from(start)
    layout = _LARGE if version >= _LARGE_FILE else _SMALL
    end, seek_free, bytes_free, _, bytes_name, _, _, seek_info, bytes_info = layout.unpack_from(start, _START.size)
    return _Header(begin, end, seek_free, bytes_free, bytes_name, seek_info, bytes_info)


def _size_fault(header: _Header, size: int) -> Fault | None:
    if not _START.size + _SMALL.size <= header.begin < size:
        return Fault(f"the header says that the first record is at byte {header.begin}, of {size}.", 8)
    if header.end > size:
        return Fault(f"the file is truncated at {size} bytes: should be {header.end}.", size)
    if header.end < size:
        text = f"the header says that the file has {header.end} bytes, it has {size}: it was not closed."
        return Fault(text, _START.size)
    return None


def _records_fault(file: BinaryIO, header: _Header) -> Fault | None:
    """Check that the records which are written last, when a file is closed, are there."""
    directory = header.begin + header.bytes_name
    found = _key_list(file, directory) if header.bytes_name > 0 and directory + 42 <= header.end else None
    if found is None:
        return Fault(f"the header says that the name of the file has {header.bytes_name} bytes.", _START.size)
    records = {"list of keys": found, "list of free segments": (header.seek_free, header.bytes_free)}
    if header.seek_info:  # a file without objects has no classes to describe
        records["description of classes"] = (header.seek_info, header.bytes_info)
    for name, (position, length) in records.items():
        if fault := _record_fault(file, header, name, position, length):
            return fault
    return None


def _key_list(file: BinaryIO, directory: int) -> tuple[int, int]:
    """Where the list of keys of the top directory is, and how long."""
    file.seek(directory)
    record = file.read(_DIRECTORY.size + 24)
    version, _, _, bytes_keys, _ = _DIRECTORY.unpack_from(record)
    positions = struct.Struct(">3q" if version > _LARGE_DIRECTORY else ">3i")
    return positions.unpack_from(record, _DIRECTORY.size)[2], bytes_keys


def _record_fault(file: BinaryIO, header: _Header, name: str, position: int, length: int) -> Fault | None:
    if position == 0:
        return Fault(f"the {name} was never written: the file was not closed.")
    if position < header.begin or length < _KEY_SIZE.size or position + length > header.end:
        return Fault(f"the {name} should be at byte {position}, {length} bytes long: that is outside the file.")
    file.seek(position)
    (written,) = _KEY_SIZE.unpack(file.read(_KEY_SIZE.size))
    if not 0 < written <= length:  # less where ROOT has written a shorter one into the old place
        return Fault(f"the {name} should have {length} bytes, its record says {written}.", position)
    return None
