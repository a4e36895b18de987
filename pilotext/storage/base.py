"""Protocol of storage back-ends, and the checksum that all of them use.

A URL names a file, and stands for it literally: nothing in it is percent-decoded. A folder is not a file: reading or
removing it is NotFoundError, writing onto it ExistsError. Any method may raise TransientError (try again later),
CredentialError, or plain StorageError for what has no class of its own; what else it raises, its docstring says.
`pilotext.storage.conformance` holds every back-end to this.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from pilotext.model import Record

CHUNK = 1 << 20

Progress = Callable[[int], None]
"""Gets from time to time the number of bytes moved so far."""


def unwatched(_: int) -> None:
    """Progress that is not used."""


Residence = Literal["online", "offline", "missing"]
"""Place of a file: on disk, on tape only, or nowhere."""


class FileStat(Record, frozen=True):
    """Size in bytes; `offline` is a file that must be prepared before it can be read."""

    size: int
    offline: bool = False


class Copied(Record, frozen=True):
    """Result of a copy that was compared on both sides: bytes, and adler32 as 8 lower-case hexadecimal digits."""

    size: int
    adler32: str


class Storage(Protocol):
    """A storage system, reached by the URLs of one scheme."""

    def stat(self, url: str) -> FileStat:
        """Raises NotFoundError, DeniedError."""

    def get(self, url: str, path: Path, progress: Progress) -> Copied:
        """Copy a file to `path`, over anything there; its folder must exist.

        Raises NotFoundError, OfflineError, DeniedError, NoSpaceError (here), and ChecksumError when what arrived is not
        what left. After an error a part of the file may be at `path`.
        """

    def put(self, path: Path, url: str, progress: Progress) -> Copied:
        """Copy the local file `path` to `url`, over an earlier file, and create its folders.

        Raises NotFoundError (no such local file), DeniedError, NoSpaceError (there), ExistsError (that is a folder),
        ChecksumError. After an error a part of the file may be at `url`.
        """

    def move(self, source: str, target: str) -> None:
        """Rename within one storage system, in one step, over an earlier file.

        Raises NotFoundError, DeniedError, ExistsError (that is a folder), UnsupportedError (not the same system).
        """

    def remove(self, url: str) -> None:
        """Raises NotFoundError, DeniedError."""

    def list(self, url: str) -> tuple[str, ...]:
        """The names of the files in a folder, sorted, those on tape too; folders in it are left out.

        Raises NotFoundError (nothing is there, or a file), DeniedError.
        """

    def checksum(self, url: str, progress: Progress = unwatched) -> str:
        """The storage's own adler32, 8 lower-case hexadecimal digits; there may be no progress while it reads.

        Raises NotFoundError, OfflineError, DeniedError, UnsupportedError.
        """

    def prepare(self, urls: Sequence[str]) -> str:
        """Ask for files to be brought from tape to disk; returns the request's id for `status`.

        Raises UnsupportedError when the URLs are not all of one system. A missing file may show up in `status` only.
        """

    def status(self, request: str, urls: Sequence[str]) -> dict[str, Residence]:
        """Return the residence of each file of a request. Raises OfflineError for a file that will not come."""

    def release(self, request: str, urls: Sequence[str]) -> None:
        """Say that the files of a request are not needed on disk any more, or need not come.

        Tape systems count requests and releases, so this must be called exactly once for each `prepare`.
        """


def adler32_of(path: Path, progress: Progress = unwatched) -> str:
    """Checksum of a local file, read in pieces of 1 MB. Raises OSError."""
    value, done = 1, 0
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            value = zlib.adler32(piece, value)
            done += len(piece)
            progress(done)
    return hex8(value)


def hex8(value: int | str) -> str:
    """Return an adler32 as 8 lower-case hexadecimal digits, also from hexadecimal text that lacks leading zeros."""
    return f"{int(value, 16) if isinstance(value, str) else value:08x}"
