"""One input file of a job: from the first source that has it whole, into the work directory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pilotext.errors import ChecksumError, NotFoundError, OfflineError, SizeError, StorageError
from pilotext.model import Input, Transfer, Try
from pilotext.storage.base import Copied, FileStat, Residence
from pilotext.storage.os_errors import translated
from pilotext.storage.retry import Policy, retried
from pilotext.storage.transfer import Mover

WORKSHOP = ".stage-in-"
"""How the name of the folder for unfinished files begins."""


def stage_in(file: Input, directory: Path, mover: Mover, policy: Policy) -> Transfer:
    """Bring `file` to `directory`, under its name only when size and checksum are right.

    Sources are tried in order; a file on tape is asked for and waited for. Size and adler32 are compared with those of
    the source, and with the job's where it has them. Raises the StorageError of the last source, with every failed try
    in `tries`; nothing is left in `directory` then, nor when the mover's tick raises.
    """
    began = time.monotonic()
    tries: list[Try] = []
    last: StorageError = NotFoundError(file.name, "the job names no source for this file.")
    with _workshop(directory) as workshop:
        part = workshop / file.name
        for source in file.sources:
            fetch = partial(_fetch, file, source, part, mover, policy)
            try:
                copied = retried(fetch, source, mover, policy, tries)
            except StorageError as error:
                last = error
                continue
            with translated(f"file://{directory / file.name}"):
                part.replace(directory / file.name)
            seconds = round(time.monotonic() - began, 3)
            return Transfer(file.name, source, copied.size, copied.adler32, seconds, tuple(tries))
    last.tries = tuple(tries)
    raise last


def remove_leftovers(directory: Path) -> None:
    """Remove what an attempt that was killed in its stage-in has left in its work directory."""
    for folder in directory.glob(f"{WORKSHOP}*"):
        shutil.rmtree(folder)


@contextmanager
def _workshop(directory: Path) -> Iterator[Path]:
    """A folder for parts of files: whatever a killed copy leaves in it goes with it."""
    with translated(f"file://{directory}"):
        folder = TemporaryDirectory(prefix=WORKSHOP, dir=directory)
    with folder as name:
        yield Path(name)


def _fetch(file: Input, source: str, part: Path, mover: Mover, policy: Policy) -> Copied:
    try:
        return _copy(file, source, part, mover)
    except OfflineError:
        _bring_online(source, mover, policy)
        return _copy(file, source, part, mover)


def _copy(file: Input, source: str, part: Path, mover: Mover) -> Copied:
    found: FileStat = mover.do("stat", url=source)
    if file.size is not None and found.size != file.size:
        raise SizeError(source, f"the source has {found.size} bytes, the catalogue says {file.size}.")
    if found.offline:
        raise OfflineError(source, "the file is on tape.")
    copied: Copied = mover.do("get", url=source, path=part)
    with translated(f"file://{part}"):
        arrived = part.stat().st_size
    if not arrived == copied.size == found.size:
        raise SizeError(source, f"{arrived} bytes arrived, the source has {found.size}.")
    if file.adler32 is not None and copied.adler32 != file.adler32.lower().zfill(8):
        raise ChecksumError(source, f"adler32 {copied.adler32} arrived, the catalogue says {file.adler32}.")
    return copied


def _bring_online(source: str, mover: Mover, policy: Policy) -> None:
    """Ask for the file and wait until it is on disk; one question at least is put."""
    began = time.monotonic()
    request: str = mover.do("prepare", urls=[source])
    polls = 0
    while (where := _residence(source, request, mover)) == "offline":
        polls += 1
        waited = time.monotonic() - began
        if waited >= policy.online_within_s:
            raise OfflineError(source, f"still on tape {waited:.0f} s after it was asked for.")
        mover.pause(policy.poll_wait_s(polls))
    if where == "missing":
        raise NotFoundError(source, "the tape system does not have this file.")


def _residence(source: str, request: str, mover: Mover) -> Residence:
    answer: dict[str, Residence] = mover.do("status", request=request, urls=[source])
    return answer[source]
