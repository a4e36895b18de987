"""One input file of a job: from the first source that has it whole, into the work directory."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from pilotext.directory_tree import remove_tree
from pilotext.errors import ChecksumError, NotFoundError, OfflineError, SizeError, StorageError
from pilotext.model.job import Input
from pilotext.model.report import Transfer
from pilotext.storage.base import Copied, FileStat
from pilotext.storage.os_errors import translated
from pilotext.storage.retry import Policy, Retries
from pilotext.storage.tape import TapeRequests
from pilotext.storage.transfer import Mover

WORKSHOP = ".stage-in-"
"""Prefix of the folder for unfinished files."""

RECALLS = 2
"""Number of requests to tape for one file within one try."""


def stage_in(file: Input, directory: Path, mover: Mover, policy: Policy) -> Transfer:
    """Bring `file` to `directory`, under its name only when size and checksum are right.

    Sources are tried in order; a file on tape is asked for and waited for, `policy.online_within_s` over all sources
    together, and given back to the tape system whatever happens. Size and adler32 are compared with those of the
    source, and with the job's where it has them. Raises the StorageError of the last source, with every failed try in
    `tries` and the servers that were away in `silent`; nothing is left in `directory` then, nor when the mover's tick
    raises.
    """
    retries = Retries(mover, policy)
    requests = TapeRequests(directory)
    try:
        done = _from_first_source(file, directory, requests, retries)
    except StorageError as error:
        error.tries = (*retries.tries, *requests.give_back(file.sources, mover))
        error.silent = frozenset(retries.silent)
        raise
    except BaseException:
        requests.give_back(file.sources, mover.tidier())
        raise
    return replace(done, tries=(*retries.tries, *requests.give_back(file.sources, mover)))


def _from_first_source(file: Input, directory: Path, requests: TapeRequests, retries: Retries) -> Transfer:
    """From the first source that has the file whole; every failed try is kept by `retries`."""
    mover, policy = retries.mover, retries.policy
    began = time.monotonic()
    deadline = began + policy.online_within_s
    last: StorageError = NotFoundError(file.name, "the job names no source for this file.")
    with _workshop(directory) as workshop:
        part = workshop / file.name
        for source in file.sources:
            recall = partial(requests.bring_online, source, mover, policy, deadline)
            try:
                copied = retries.run(partial(_fetch, file, source, part, recall, mover), source)
            except StorageError as error:
                last = error
                continue
            with translated(f"file://{directory / file.name}"):
                part.replace(directory / file.name)
            return Transfer(file.name, source, copied.size, copied.adler32, round(time.monotonic() - began, 3))
    raise last


def remove_leftovers(directory: Path) -> None:
    """Remove what an attempt that was killed in its stage-in has left in its work directory."""
    for folder in directory.glob(f"{WORKSHOP}*"):
        if not remove_tree(folder):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))


@contextmanager
def _workshop(directory: Path) -> Iterator[Path]:
    """A folder for parts of files: whatever a killed copy leaves in it goes with it."""
    with translated(f"file://{directory}"):
        folder = TemporaryDirectory(prefix=WORKSHOP, dir=directory)
    with folder as name:
        yield Path(name)


def _fetch(file: Input, source: str, part: Path, recall: Callable[[], None], mover: Mover) -> Copied:
    """One try; a file that has gone back to tape before it was copied is asked for once more."""
    for _ in range(RECALLS):
        try:
            return _copy(file, source, part, mover)
        except OfflineError:
            recall()
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
