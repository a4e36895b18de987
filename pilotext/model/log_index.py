"""Index of an archive of logs: which parts of each log are in it, and where."""

from __future__ import annotations

from pilotext.model import Record

INDEX_NAME = "INDEX.json"

STDOUT_NAME = "payload_stdout.txt"
STDERR_NAME = "payload_stderr.txt"
FILES_OF_STREAMS = {"stdout": STDOUT_NAME, "stderr": STDERR_NAME}
"""Files of the streams of a payload, in its work directory and in the archive."""


class Part(Record, frozen=True):
    """A kept part of a log: its bytes there from `start` to before `end`, and where it begins in the archived member.

    `first_line` is the number of the line in the whole log that the part begins in, where that is known.
    """

    start: int
    end: int
    at: int
    first_line: int | None = None


class Member(Record, frozen=True):
    """A file in the archive: its size when it was packed, and what of it is there.

    `bytes`, `lines` and `adler32` are of the member; `missing` counts bytes that were gone when they were read, for
    which there are newlines.
    """

    name: str
    size: int
    bytes: int
    lines: int
    adler32: str
    parts: tuple[Part, ...]
    missing: int = 0


class Index(Record, frozen=True):
    """The contents of an archive; `left_out` names files that could not be read, and why."""

    format: int
    members: tuple[Member, ...]
    left_out: dict[str, str]
