"""Core files: recognition, and the program that they are of.

Layout: elf(5), and the note NT_FILE of core(5)'s ELF files (Linux fs/binfmt_elf.c, fill_files_note). Only the 64-bit
little-endian kind is read further than its first bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_ELF = b"\x7fELF"
_TYPE_CORE = 4
_HEADER = struct.Struct("<16sHHIQQQIHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_PT_NOTE = 4
_NT_FILE = 0x46494C45
_MAX_NOTES_BYTES = 16 << 20


def is_core(path: Path) -> bool:
    """Whether a file is a core dump, whatever its name. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        start = file.read(18)
    return start[:4] == _ELF and len(start) == 18 and int.from_bytes(start[16:18], "little") == _TYPE_CORE


def program_of(path: Path) -> Path | None:
    """The program that dumped this core, by the files that it had mapped; None where the core does not tell.

    Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            for kind, content in _notes(file):
                if kind == _NT_FILE:
                    return _first_file(content)
        except (struct.error, ValueError):  # the disk was full, or a limit cut it
            return None
    return None


def _notes(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    header = _HEADER.unpack(file.read(_HEADER.size))
    segments_at, size, count = header[5], header[9], header[10]
    for number in range(count):
        file.seek(segments_at + number * size)
        kind, _, offset, _, _, length, _, _ = _SEGMENT.unpack(file.read(_SEGMENT.size))
        if kind == _PT_NOTE and length <= _MAX_NOTES_BYTES:
            file.seek(offset)
            yield from _split(file.read(length))


def _split(notes: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, at)
        begin = at + _NOTE.size + _padded(name_size)
        yield kind, notes[begin : begin + size]
        at = begin + _padded(size)


def _padded(size: int) -> int:
    return -(-size // 4) * 4


def _first_file(content: bytes) -> Path | None:
    """The name of the mapping with the lowest address that a file has: the program itself."""
    count, _ = struct.unpack_from("<QQ", content)
    names = content[16 + 24 * count :].split(b"\0")
    return Path(names[0].decode("utf-8", "surrogateescape")) if count and names[0] else None
