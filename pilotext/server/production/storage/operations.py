"""Storage operations of the cycle, in a child process that is ended when it hangs; never within a transaction."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from django.db.models import QuerySet
from msgspec.structs import replace

from pilotext.errors import (
    ChecksumError,
    ExistsError,
    NotFoundError,
    OfflineError,
    PilotextError,
    SizeError,
    StorageError,
    TransientError,
)
from pilotext.model import Record
from pilotext.server.production.models import LogArchive, Product
from pilotext.server.production.row_leases import lease_rows, wait_after
from pilotext.server.production.storage.breakers import GuardedMover, ServerAwayError
from pilotext.storage.leftovers import part_of
from pilotext.storage.retry import Policy, retried
from pilotext.storage.transfer import ChildMover, Mover, with_credentials
from pilotext.storage.urls import is_folder, join

R = TypeVar("R", Product, LogArchive)

STALL_S = 300.0
PATIENCE = Policy(tries=2, first_wait_s=5.0)
PART_TAG = "pilotext-keeping"
"""Marks the temporary name under which a file lies until it is whole where it is kept."""

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


class StoppedError(Exception):
    """A file is not wanted any more where it is just being copied to."""


def open_mover(tick: Callable[[], None]) -> Mover:
    """A mover for the cycle; `tick` is called while it works or waits. Tests put another one here."""
    return with_credentials(ChildMover(STALL_S, tick), os.environ)


@contextmanager
def moving(experiment: int, tick: Callable[[], None] = lambda: None) -> Iterator[GuardedMover]:
    """A mover for the files of this experiment, which leaves servers alone that are away."""
    mover = GuardedMover(open_mover(tick), experiment)
    try:
        yield mover
    finally:
        mover.close()


def work_through(
    rows: QuerySet[R], work: Callable[[R, Mover], int], failed: Callable[[R, PilotextError], float]
) -> int:
    """Do work on storage for each of these rows, by one cycle at a time; return the sum of the results.

    A row whose storage is away is tried again when that may be back. After any other error, `failed` returns the
    seconds until the next try.
    """
    done = 0
    for lease in lease_rows(rows, 1):
        row = rows.model._default_manager.select_related("task__experiment").get(pk=lease.ids[0])
        wait_s = 0.0
        try:
            with moving(row.task.experiment_id, lease.renew) as mover:
                done += work(row, mover)
        except ServerAwayError as error:
            wait_s = error.wait_s
        except PilotextError as error:
            wait_s = failed(row, error)
        lease.end(wait_s)
    return done


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
    return compared(file, mover) != "absent"


def compared(file: File, mover: Mover) -> Literal["same", "same-size", "absent"]:
    """Return how far this file is proven to be there. Raises ChecksumError for another one, StorageError."""
    try:
        found = mover.do("stat", url=file.url)
        if found.size != file.size:
            raise SizeError(file.url, f"it has {found.size} bytes where {file.size} are expected.")
        if found.offline:  # asking for its checksum could bring it back from tape
            return "same-size"
        if (adler32 := mover.do("checksum", url=file.url)) != file.adler32:
            raise ChecksumError(file.url, f"its adler32 is {adler32} where {file.adler32} is expected.")
    except NotFoundError:
        return "absent"
    except OfflineError:
        return "same-size"
    return "same"


def keep(
    file: File,
    destinations: Sequence[str],
    name: str,
    mover: Mover,
    *,
    earlier: Sequence[File] = (),
    kept: str = "",
    look_again: Callable[[], None] = lambda: None,
) -> str:
    """Bring a file to the first destination that takes it, verified there; returns its URL.

    The task has to own these names. Nothing is written over: another file that is there stays, and ExistsError is
    raised. `earlier` are files that the same task has kept before; one of them, proven by size and checksum, makes
    place, and so does a file of no bytes, as a copy that was broken off leaves it: nothing is lost with it. `kept` is
    the URL where the file was verified before, which may have gone to tape since. Done again after any interruption,
    it goes on from there. `look_again` is called before a file gets its name there; it may raise StoppedError, which
    ends the copy, and nothing of it stays. Raises StorageError; ServerAwayError where one of the destinations may take
    it later.
    """
    away: ServerAwayError | None = None
    last: StorageError = NotFoundError(file.url, "there is no destination for this file.")
    for destination in destinations:
        target = File(place(destination, name), file.size, file.adler32)
        try:
            if not _is_kept(target, earlier, mover, known=target.url == kept):
                retried(partial(_copy, file, target, mover, look_again), target.url, mover, PATIENCE, [])
        except ServerAwayError as error:
            away = error
            continue
        except ExistsError:
            raise
        except StorageError as error:
            last = error
            continue
        return target.url
    raise away or last


def put(path: Path, adler32: str, destinations: Sequence[str], name: str, mover: Mover) -> str:
    """Bring a local file to the first destination that takes it, verified there; returns its URL.

    Another file that is there stays, and ExistsError is raised.
    """
    size = path.stat().st_size
    return keep(File(f"file://{path}", size, adler32), destinations, name, mover)


def remove(file: File, mover: Mover) -> bool:
    """Remove exactly this file; False when none is there. Raises ChecksumError for another one, which stays.

    A file on tape stays too, since its checksum cannot be compared: OfflineError is raised.
    """
    found = compared(file, mover)
    if found == "absent":
        return False
    if found == "same-size":
        raise OfflineError(file.url, "it is on tape, and its checksum cannot be compared; it is not removed.")
    mover.do("remove", url=file.url)
    return True


def _is_kept(target: File, earlier: Sequence[File], mover: Mover, *, known: bool) -> bool:
    """Whether the file is there already; if none is, or has made place, it can be written. Raises ExistsError."""
    try:
        found = compared(target, mover)
    except ChecksumError as error:
        if _removed_empty(target.url, mover):
            return False
        for each in earlier:
            if each.url == target.url and _made_place(each, mover):
                return False
        why = f"another file is there, which this task has not kept: {error.reason}"
        raise ExistsError(target.url, why, advice="Move it away, or give this task other names.") from error
    if found == "same-size" and not known:
        why = "a file of the same size is on tape there, and its checksum cannot be compared."
        raise ExistsError(target.url, why, advice="Have it recalled, or move it away.")
    return found != "absent"


def _made_place(file: File, mover: Mover) -> bool:
    try:
        return remove(file, mover)
    except (ChecksumError, OfflineError):
        return False


def _removed_empty(url: str, mover: Mover) -> bool:
    """Remove the file if it has no bytes, which its size alone proves; False when it has some, and stays."""
    if mover.do("stat", url=url).size:
        return False
    mover.do("remove", url=url)
    return True


def _copy(source: File, target: File, mover: Mover, look_again: Callable[[], None]) -> None:
    if is_there(target, mover):  # an earlier try has renamed it, and only its answer was lost
        return
    if source.url.startswith("file://"):
        _put(Path(source.url.removeprefix("file://")), target, mover, look_again)
        return
    with scratch() as folder:
        path = folder / "file"
        copied = mover.do("get", url=source.url, path=path)
        if (copied.size, copied.adler32) != (source.size, source.adler32):
            raise ChecksumError(source.url, f"it is {copied}, not the file that was reported.")
        _put(path, target, mover, look_again)


def _put(path: Path, target: File, mover: Mover, look_again: Callable[[], None]) -> None:
    part = replace(target, url=part_of(target.url, PART_TAG))
    mover.do("put", path=path, url=part.url)
    if not is_there(part, mover):
        raise NotFoundError(part.url, "the file is not there after it was written.")
    with suppress(NotFoundError):
        mover.do("stat", url=target.url)
        raise ExistsError(target.url, "another file came there while this one was copied.")
    try:
        look_again()
    except StoppedError:
        mover.do("remove", url=part.url)
        raise
    mover.do("move", source=part.url, target=target.url)
    if not is_there(target, mover):
        raise NotFoundError(target.url, "the file is not there after it was written.")
