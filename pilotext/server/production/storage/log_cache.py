"""Archives of logs fetched from storage, unpacked and kept for a while: bounded in time, size and number.

A page waits for a fetch, so few are done at once and none for long; a place that failed is left alone for a moment.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pilotext.errors import FieldError, PilotextError
from pilotext.model.log_index import INDEX_NAME, Index, Member
from pilotext.serialization.json import from_json
from pilotext.server.production.storage import operations
from pilotext.server.production.storage.breakers import GuardedMover

WITHIN_S = 20.0
"""Time in seconds for the fetch of one archive, whatever its storage does."""

MAX_AT_ONCE = 2
MAX_ARCHIVE_BYTES = 64_000_000
MAX_UNPACKED_BYTES = 128_000_000
MAX_MEMBERS = 100
MAX_INDEX_BYTES = 1_000_000
MAX_CACHE_BYTES = 1_000_000_000
PAUSE_S = 30.0
"""A place that could not be read is not asked again for so long."""

MAX_PAUSED = 1000

_fetching = threading.BoundedSemaphore(MAX_AT_ONCE)
_paused: dict[str, tuple[float, str]] = {}


class LogUnavailableError(PilotextError):
    """An archive of logs that cannot be read now; the sentence says why."""


@dataclass(frozen=True)
class CachedLog:
    """A file of an archive on the disk of the server; `index` is None where the archive does not describe it."""

    name: str
    path: Path
    size: int
    index: Member | None


def open_archive(url: str, experiment: int, *, adler32: str = "") -> Mapping[str, CachedLog]:
    """Return the files of an archive by their names, from the cache or fetched. Raises LogUnavailableError."""
    folder = _cache_folder() / hashlib.sha256(f"{url} {adler32}".encode()).hexdigest()
    if not folder.exists():
        _fetch(url, experiment, folder)
    try:
        os.utime(folder)
        return _members(folder)
    except OSError as error:
        raise LogUnavailableError("The archive has just left the cache.", advice="Reload the page.") from error


def _cache_folder() -> Path:
    """Return the folder of the cache, which is this user's alone."""
    folder = Path(tempfile.gettempdir()) / f"pilotext-logs-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise LogUnavailableError(
            f"The folder {folder} of the cache belongs to others.", advice="Remove it, or set TMPDIR of the server."
        )
    return folder


def _fetch(url: str, experiment: int, folder: Path) -> None:
    until, why = _paused.get(url, (0.0, ""))
    if until > time.monotonic():
        raise LogUnavailableError(why, advice=f"It is asked again in {until - time.monotonic():.0f} s.")
    if not _fetching.acquire(blocking=False):
        raise LogUnavailableError(
            f"{MAX_AT_ONCE} archives are being fetched already.", advice="Reload the page in a few seconds."
        )
    try:
        _fetch_now(url, experiment, folder)
    except PilotextError as error:
        if len(_paused) >= MAX_PAUSED:
            _paused.clear()
        _paused[url] = (time.monotonic() + PAUSE_S, error.message)
        raise LogUnavailableError(error.message, advice=error.advice) from error
    finally:
        _fetching.release()


def _fetch_now(url: str, experiment: int, folder: Path) -> None:
    end = time.monotonic() + WITHIN_S

    def tick() -> None:
        if time.monotonic() > end:
            raise LogUnavailableError(f"{url}: its storage did not deliver it within {WITHIN_S:g} s.")

    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder.parent) as scratch:
        path, unpacked = Path(scratch) / "archive", Path(scratch) / "unpacked"
        mover = operations.open_mover(tick)
        try:
            GuardedMover(mover, experiment).check(url)
            if (size := mover.do("stat", url=url).size) > MAX_ARCHIVE_BYTES:
                raise LogUnavailableError(f"{url} has {size} bytes, more than {MAX_ARCHIVE_BYTES} are not fetched.")
            mover.do("get", url=url, path=path)
        finally:
            mover.close()
        unpacked.mkdir()
        _unpack(url, path, unpacked)
        _make_room(folder.parent)
        if not folder.exists():  # else another request has fetched it, too
            unpacked.rename(folder)


def _unpack(url: str, path: Path, folder: Path) -> None:
    """Write the regular files of an archive as `0`, `1`, …, and their names beside. Raises LogUnavailableError."""
    names: list[str] = []
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as packed:
            limited = cast(BinaryIO, _Limited(packed))
            with tarfile.open(fileobj=limited, mode="r|") as archive:
                for entry in archive:
                    if not entry.isreg() or len(names) >= MAX_MEMBERS:
                        continue
                    content = archive.extractfile(entry)
                    assert content is not None, "a regular file has content"
                    with (folder / str(len(names))).open("wb") as copy:
                        shutil.copyfileobj(content, copy)
                    names.append(entry.name.rpartition("/")[2].replace("\n", "?"))
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise LogUnavailableError(f"{url} is not a whole archive of logs: {error}") from error
    (folder / "names").write_text("\n".join(names), "utf-8", "replace")


class _Limited:
    """A stream that ends with an error where it holds more than may be unpacked."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it holds more than {MAX_UNPACKED_BYTES} bytes")
        return data


def _members(folder: Path) -> dict[str, CachedLog]:
    names = (folder / "names").read_text("utf-8").split("\n")
    sizes = {
        name: (folder / str(place), (folder / str(place)).stat().st_size) for place, name in enumerate(names) if name
    }
    described = _index(sizes)
    return {
        name: CachedLog(name, path, size, described.get(name))
        for name, (path, size) in sizes.items()
        if name != INDEX_NAME
    }


def _index(sizes: Mapping[str, tuple[Path, int]]) -> dict[str, Member]:
    """Return what the archive says of its files; nothing where it does not say it in its form."""
    path, size = sizes.get(INDEX_NAME, (Path(), MAX_INDEX_BYTES + 1))
    if size > MAX_INDEX_BYTES:
        return {}
    try:
        index = from_json(path.read_bytes(), Index)
    except FieldError:
        return {}
    return {member.name: member for member in index.members if sizes.get(member.name, ("", -1))[1] == member.bytes}


def _make_room(folder: Path) -> None:
    """Remove the archives that were not read for the longest time until the cache is small enough."""
    kept = [entry for entry in folder.iterdir() if not entry.name.startswith("fetch-")]
    with _gone_meanwhile():
        by_age = sorted((entry.stat().st_mtime, entry) for entry in kept)
        sizes = {entry: sum(path.stat().st_size for path in entry.iterdir()) for _, entry in by_age}
        total = sum(sizes.values())
        for _, entry in by_age:
            if total <= MAX_CACHE_BYTES:
                break
            shutil.rmtree(entry, ignore_errors=True)
            total -= sizes[entry]


@contextmanager
def _gone_meanwhile() -> Iterator[None]:
    """Another process of the server makes room as well; what is gone needs no removing."""
    try:
        yield
    except FileNotFoundError:
        return
