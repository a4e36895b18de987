"""Output of the command line, robust against closed and broken streams."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from pathlib import Path

from pilotext.errors import UsageError
from pilotext.redaction import Redactor, redactor_for
from pilotext.sanitize import printable, printable_json

MAX_LINE_CHARS = 2000

# What the pilot looks for in the two streams of its payload, and takes for failures of its own kind (pilot3
# `payload.py:perform_initial_payload_error_analysis`, `errorcodes.py:resolve_transform_error`); some of them fail a job
# that ended with status 0. Each is said with other signs between its letters or words.
_MISREAD = {
    "CRITICAL": "C-R-I-T-I-C-A-L",
    **{
        phrase: phrase.replace(" ", "-")
        for phrase in (
            "Operation not permitted",
            "Not mounting requested bind point",
            "No more available loop devices",
            "Failed to mount image",
            "error: while mounting",
            "Failed to create user namespace",
            "Singularity is not installed",
            "Apptainer is not installed",
            "cannot create directory",
            "General payload setup verification error",
            "command not found",
        )
    },
}
_MISREAD_PATTERN = re.compile("|".join(map(re.escape, _MISREAD)))
_ERROR_LABEL = re.compile(r"ERROR(?=\s*:)")


def open_standard_streams() -> None:
    """Give a descriptor to each standard stream that was closed: a file opened later must not be taken for one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def say(text: str, *, stream: int = 1) -> None:
    """Print lines of plain ASCII, without secrets, long ones cut.

    What a pilot would misread is disguised, so that it judges the job by its status and by `tell_pilot` alone.
    """
    write(_ERROR_LABEL.sub("Error", plain(text)).encode() + b"\n", stream=stream)


def tell_pilot(sentence: str) -> None:
    """Print the one line on stderr that a pilot shows for a failed payload: what follows the first `ERROR:`."""
    write(f"ERROR: {_ERROR_LABEL.sub('Error', plain(sentence))}\n".encode(), stream=2)


def write_json(document: bytes) -> None:
    """Print a JSON document on stdout, the word that a pilot looks for there in another spelling of the same text."""
    write(printable_json(document.rstrip(b"\n")).replace(b"CRITICAL", b"\\u0043RITICAL") + b"\n")


def write_text(text: str) -> None:
    """Print text as it is, but for what would steer a terminal: for what people or other programs asked for."""
    write(printable(text).encode("utf-8", "backslashreplace"))


def write_document(text: str, path: Path | None) -> None:
    """Put a document into a file, or on stdout. Raises UsageError where the file cannot be written."""
    if path is None:
        write_text(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: this file cannot be written: {error.strerror}.") from None


def plain(text: str) -> str:
    lines = (
        line if len(line) <= MAX_LINE_CHARS else f"{line[:MAX_LINE_CHARS]}..." for line in hidden(text).split("\n")
    )
    plain = printable("\n".join(lines)).encode("ascii", "backslashreplace").decode()
    return _MISREAD_PATTERN.sub(lambda found: _MISREAD[found[0]], plain)


def hidden(text: str) -> str:
    """The text without the secrets of our environment; those of a job its report has hidden already."""
    return _redactor().text(text)


@functools.cache
def _redactor() -> Redactor:
    return redactor_for(None, os.environ)


def write(data: bytes, *, stream: int = 1) -> None:
    """Write all bytes, as long as somebody reads them."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(stream, data) :]
