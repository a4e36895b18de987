"""What the command says, whatever has become of the streams it says it on."""

from __future__ import annotations

import contextlib
import functools
import os
import re

from pilotext.redact import Redactor
from pilotext.worker.secrets import redactor_for

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
LONGEST_LINE = 2000


def open_standard_streams() -> None:
    """Give a descriptor to each standard stream that was closed: a file opened later must not be taken for one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def say(text: str, *, stream: int = 1) -> None:
    """Print lines of plain ASCII, without secrets, long ones cut.

    That nobody can hear it changes nothing of what was done.
    The pilot takes a line with the word CRITICAL, and any byte that is not UTF-8, for an error of its own.
    """
    lines = (line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..." for line in hidden(text).split("\n"))
    plain = _CONTROL.sub("?", "\n".join(lines)).encode("ascii", "backslashreplace")
    write(plain.replace(b"CRITICAL", b"C-R-I-T-I-C-A-L") + b"\n", stream=stream)


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
