"""What the cycle does on storage: always in a child process that is ended when it hangs, never within a transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pilotext.errors import ChecksumError, NotFoundError, OfflineError, SizeError, StorageError, TransientError
from pilotext.model import Record
from pilotext.server.production.claims import wait_after
from pilotext.server.production.storage_breakers import GuardedMover, ServerAwayError
from pilotext.storage.retry import Policy, retried
from pilotext.storage.transfer import ChildMover, Mover
from pilotext.storage.urls import is_folder, join

STALL_S = 300.0
PATIENCE = Policy(tries=2, first_wait_s=5.0)

FIRST_WAIT_S = 60.0
MAX_TRIES = 10
MAX_BUSY_TRIES = 400
MAX_BUSY_WAIT_S = 1800.0
"""A server that answers, and yet fails for the moment, is tried for more than a week."""


class File(Record, frozen=True):
    """A file as it has to be: where, how many bytes, which adler32."""

    url: str
    size: int
    adler32: str


def open_mover(tick: Callable[[], None]) -> Mover:
    """A mover for the cycle; `tick` is called while it works or waits. Tests put another one here."""
    return ChildMover(STALL_S, tick)


@contextmanager
def moving(experiment: int, tick: Callable[[], None] = lambda: None) -> Iterator[GuardedMover]:
    """A mover for the files of this experiment, which leaves servers alone that are away."""
    mover = GuardedMover(open_mover(tick), experiment)
    try:
        yield mover
    finally:
        mover.close()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for files on their way, on the disk that TMPDIR names; it goes with what is in it."""
    with tempfile.TemporaryDirectory(prefix="pilotext-cycle-") as folder:
        yield Path(folder)


def next_try(error: Exception, tries: int) -> float | None:
    """Seconds to wait after so many failed tries, the last one by this error; None where a person has to look."""
    if isinstance(error, TransientError):
        return None if tries >= MAX_BUSY_TRIES else min(wait_after(tries, FIRST_WAIT_S), MAX_BUSY_WAIT_S)
    return None if tries >= MAX_TRIES else wait_after(tries, FIRST_WAIT_S)


def place(destination: str, name: str) -> str:
    """The URL of a file at a destination, which is a folder or a whole URL."""
    return join(destination, name) if is_folder(destination) else destination


def is_there(file: File, mover: Mover) -> bool:
    """True when exactly this file is there, False when none is. Raises ChecksumError for another one, StorageError.

    Of a file that has gone to tape meanwhile, only the size is compared.
    """
    try:
        found = mover.do("stat", url=file.url)
        if found.size != file.size:
            raise SizeError(file.url, f"it has {found.size} bytes where {file.size} are expected.")
        if not found.offline and (adler32 := mover.do("checksum", url=file.url)) != file.adler32:
            raise ChecksumError(file.url, f"its adler32 is {adler32} where {file.adler32} is expected.")
    except NotFoundError:
        return False
    except OfflineError:
        return True
    return True


def keep(file: File, destinations: Sequence[str], name: str, mover: Mover) -> str:
    """Bring a file to the first destination that takes it, verified there; returns its URL.

    Raises StorageError; ServerAwayError where one of the destinations may take it later. Done again after any
    interruption, it finds its own work and goes on from there.
    """
    away: ServerAwayError | None = None
    last: StorageError = NotFoundError(file.url, "there is no destination for this file.")
    for destination in destinations:
        target = File(place(destination, name), file.size, file.adler32)
        try:
            if not _has(target, mover):
                retried(partial(_copy, file, target, mover), target.url, mover, PATIENCE, [])
        except ServerAwayError as error:
            away = error
            continue
        except StorageError as error:
            last = error
            continue
        return target.url
    raise away or last


def put(path: Path, adler32: str, destinations: Sequence[str], name: str, mover: Mover) -> str:
    """Bring a local file to the first destination that takes it, verified there; returns its URL."""
    size = path.stat().st_size
    return keep(File(f"file://{path}", size, adler32), destinations, name, mover)


def remove(file: File, mover: Mover) -> bool:
    """Remove exactly this file; False when none is there. Raises ChecksumError for another one, which stays."""
    if not is_there(file, mover):
        return False
    mover.do("remove", url=file.url)
    return True


def _has(target: File, mover: Mover) -> bool:
    try:
        return is_there(target, mover)
    except ChecksumError:  # what a copy that was broken off, or an earlier merge, has left
        return False


def _copy(source: File, target: File, mover: Mover) -> None:
    if source.url.startswith("file://"):
        _put(Path(source.url.removeprefix("file://")), target, mover)
        return
    with scratch() as folder:
        path = folder / "file"
        copied = mover.do("get", url=source.url, path=path)
        if (copied.size, copied.adler32) != (source.size, source.adler32):
            raise ChecksumError(source.url, f"it is {copied}, not the file that was reported.")
        _put(path, target, mover)


def _put(path: Path, target: File, mover: Mover) -> None:
    mover.do("put", path=path, url=target.url)
    if not is_there(target, mover):
        raise NotFoundError(target.url, "the file is not there after it was written.")
