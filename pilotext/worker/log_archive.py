"""Archive of a job's logs: what an expert needs to judge the job again, in one compressed file.

Secrets are illegible in it, byte for byte, so that the positions of evidence stay true. A log that is too long is there
in parts; the member INDEX.json says which. The same files always give the same archive.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from msgspec.structs import replace

from pilotext.model.job import Job
from pilotext.model.log_index import FILES_OF_STREAMS, INDEX_NAME, STDERR_NAME, STDOUT_NAME, Index, Member, Part
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence
from pilotext.redaction import Redactor
from pilotext.worker.excerpt import ExcerptPlace, gap_note, lines_in, parts_of, places_in
from pilotext.worker.own_files import create_file, move_away
from pilotext.worker.payload.cores import STACK_NAME
from pilotext.worker.report_files import REPORT_NAME

TRACEBACK_NAME = "pilotext_traceback.txt"
OWN_FILES = (TRACEBACK_NAME, STACK_NAME)
"""Files that the wrapper itself has written: its traceback, stack traces of the payload."""

ROOM_ON_A_FULL_DISK = (1_000_000, 50_000)
"""Bytes of logs to try with when there is no space for the archive that was asked for."""


def archive_name(job: Job) -> str:
    """The name given by the job, else `<task>-<job>-<attempt>.job.log.tgz`."""
    return (job.log.name if job.log else None) or f"{job.label}.job.log.tgz"


def make_archive(job: Job, directory: Path, report: Report, redactor: Redactor, room: int) -> Path:
    """Pack the report and the logs, as far as they exist, into the work directory.

    At most about `room` bytes of logs are packed; on a full disk fewer are tried. Raises OSError, and leaves nothing.
    """
    path = directory / archive_name(job)
    temporary = path.with_name(f".{path.name}.part")
    for tried in (room, *(less for less in ROOM_ON_A_FULL_DISK if less < room)):
        try:
            with create_file(temporary) as file:
                _Packing(job, directory, report, redactor).pack(cast(BinaryIO, file), tried)
            move_away(path)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)  # half an archive only takes room, and there may be none left
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or tried == min(room, ROOM_ON_A_FULL_DISK[-1]):
                raise
        else:
            break
    return path


class _Packing:
    """One attempt to write the archive."""

    def __init__(self, job: Job, directory: Path, report: Report, redactor: Redactor) -> None:
        self._job = job
        self._directory = directory
        self._evidence = [*report.verdict.evidence, *(one for match in report.verdict.also for one in match.evidence)]
        self._redactor = redactor
        self._left_out: dict[str, str] = {}
        self._newest = 0

    def pack(self, file: BinaryIO, room: int) -> None:
        sizes = self._sizes()
        shares = _shares({name: size for name, size in sizes.items() if name != REPORT_NAME}, room)
        members: list[Member] = []
        with (
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
            tarfile.open(mode="w", fileobj=cast(BinaryIO, packed)) as archive,
        ):
            for name in sizes:
                try:
                    member = self._add(archive, name, shares.get(name))
                except (FileNotFoundError, PermissionError) as error:  # gone since we looked, or closed to us
                    self._left_out[name] = error.strerror or type(error).__name__
                else:
                    members.append(member)
            index = msgspec.json.format(msgspec.json.encode(Index(1, tuple(members), self._left_out)), indent=2)
            archive.addfile(self._header(INDEX_NAME, len(index), self._newest), BytesIO(index))

    def _sizes(self) -> dict[str, int]:
        """Every file to pack, with its size; links, folders and core dumps are none."""
        names = [REPORT_NAME, STDOUT_NAME, STDERR_NAME, *OWN_FILES]
        names += [output.name for output in self._job.outputs if output.kind == "log"]
        names += sorted({evidence.stream for evidence in self._evidence if evidence.line})
        sizes: dict[str, int] = {}
        for name in dict.fromkeys(names):
            if "/" in name or name == "core" or name.startswith("core."):
                continue
            try:
                found = (self._directory / name).lstat()
            except OSError:  # not there, or no name that there can be
                continue
            if stat.S_ISREG(found.st_mode):
                sizes[name] = found.st_size
        return sizes

    def _add(self, archive: tarfile.TarFile, name: str, share: int | None) -> Member:
        """Pack one file, and say what is there of it; without a share it is our own and goes in as it is."""
        descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            self._newest = max(self._newest, int(found.st_mtime))
            places = self._places(name)
            parts = parts_of(found.st_size, found.st_size if share is None else share, places)
            content = _Content(file, parts, None if share is None else self._redactor)
            archive.addfile(self._header(name, content.size, int(found.st_mtime)), cast(BinaryIO, content))
            return Member(
                name=name,
                size=found.st_size,
                bytes=content.size,
                lines=content.lines,
                adler32=f"{content.adler32:08x}",
                parts=tuple(_numbered(part, places, file) for part in parts),
                missing=content.missing,
            )

    def _places(self, name: str) -> list[ExcerptPlace]:
        seen = [one for one in self._evidence if one.line and _file_of(one) == name]
        return list(dict.fromkeys(ExcerptPlace(one.offset, one.line) for one in seen))

    def _header(self, name: str, size: int, modified: int) -> tarfile.TarInfo:
        header = tarfile.TarInfo(f"{self._job.label}/{name}")
        header.size, header.mtime, header.mode = size, modified, 0o644
        return header


class _Content:
    """Content of a member, as a file that the archive reads; its size is as announced, whatever the log does."""

    def __init__(self, file: BinaryIO, parts: Sequence[Part], redactor: Redactor | None) -> None:
        self.size = parts[-1].at + parts[-1].end - parts[-1].start if parts else 0
        self.adler32 = 1
        self.missing = 0
        self._file = file
        self._redactor = redactor
        self._pieces = self._all(parts)
        self._unread = b""
        self._line_ends = 0
        self._last = b""

    @property
    def lines(self) -> int:
        return self._line_ends + (self._last not in (b"", b"\n", b"\r"))

    def read(self, size: int) -> bytes:
        while len(self._unread) < size and (piece := next(self._pieces, b"")):
            self._unread += piece
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _all(self, parts: Sequence[Part]) -> Iterator[bytes]:
        before = 0
        for part in parts:
            if note := gap_note(before, part.start):
                yield self._counted(note)
            yield from map(self._counted, self._of(part))
            before = part.end

    def _of(self, part: Part) -> Iterator[bytes]:
        left = part.end - part.start
        for piece in self._read(part):
            left -= len(piece)
            yield piece
        self.missing += left
        while left > 0:
            yield b"\n" * min(left, 1 << 20)
            left -= 1 << 20

    def _read(self, part: Part) -> Iterator[bytes]:
        if self._redactor is None:
            yield from _plain_pieces(self._file, part.start, part.end)
            return

        def read(offset: int, size: int) -> bytes:
            return os.pread(self._file.fileno(), size, offset)

        yield from self._redactor.pieces(read, part.start, part.end)

    def _counted(self, piece: bytes) -> bytes:
        self.adler32 = zlib.adler32(piece, self.adler32)
        self._line_ends += lines_in([self._last, piece]) - lines_in([self._last])
        self._last = piece[-1:]
        return piece


def _numbered(part: Part, places: Sequence[ExcerptPlace], file: BinaryIO) -> Part:
    """The part with the number of its first line, if a place in it tells that."""
    place = next(places_in(part, places), None)
    if part.first_line is not None or place is None:
        return part
    return replace(part, first_line=place.line - lines_in(_plain_pieces(file, part.start, place.offset)))


def _plain_pieces(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    while start < end and (piece := os.pread(file.fileno(), min(1 << 20, end - start), start)):
        yield piece
        start += len(piece)


def _shares(sizes: dict[str, int], room: int) -> dict[str, int]:
    """Divide the room among the files: large ones get what small ones do not need."""
    shares: dict[str, int] = {}
    for number, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        shares[name] = min(size, room // (len(sizes) - number))
        room -= shares[name]
    return shares


def _file_of(evidence: Evidence) -> str:
    return FILES_OF_STREAMS.get(evidence.stream, evidence.stream)
