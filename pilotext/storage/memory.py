"""A storage system in memory, for tests of everything above the back-ends: it has folders, a tape and bad days."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pilotext.errors import ExistsError, NotFoundError, OfflineError, StorageError
from pilotext.storage.base import Copied, FileStat, Progress, Residence, hex8, unwatched
from pilotext.storage.os_errors import translated


class MemoryStorage:
    """Files of this process only. Register it: `registry.register("memory", MemoryStorage())`.

    `files` holds the bytes by URL. A file of `tape` is offline: `prepare` asks for it, and it comes online when
    `status` has been asked `mount_polls` times. `fail_next` makes one call fail, to see what the caller does then.
    """

    def __init__(self, mount_polls: int = 1) -> None:
        self.files: dict[str, bytes] = {}
        self.tape: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        """Every call in order: the operation, and the URL it was about (of a move, the source)."""
        self.mount_polls = mount_polls
        self._mounting: dict[str, int] = {}
        self._recalled: set[str] = set()
        self._failures: defaultdict[tuple[str, str], list[StorageError]] = defaultdict(list)

    def fail_next(self, operation: str, error: StorageError) -> None:
        """The next call of this operation on `error.url` raises `error`; several are raised in order."""
        self._failures[operation, error.url].append(error)

    def stat(self, url: str) -> FileStat:
        self._begin("stat", url)
        return FileStat(size=len(self._content(url)), offline=url in self.tape)

    def get(self, url: str, path: Path, progress: Progress) -> Copied:
        self._begin("get", url)
        data = self._online(url)
        with translated(f"file://{path}"):
            path.write_bytes(data)
        progress(len(data))
        return _copied(data)

    def put(self, path: Path, url: str, progress: Progress) -> Copied:
        self._begin("put", url)
        with translated(f"file://{path}"):
            data = path.read_bytes()
        self._refuse_folder(url)
        self.files[url] = data
        progress(len(data))
        return _copied(data)

    def move(self, source: str, target: str) -> None:
        self._begin("move", source)
        data = self._content(source)
        self._refuse_folder(target)
        del self.files[source]
        self.files[target] = data

    def remove(self, url: str) -> None:
        self._begin("remove", url)
        self._content(url)
        del self.files[url]
        self.tape.discard(url)

    def list(self, url: str) -> tuple[str, ...]:
        self._begin("list", url)
        folder = f"{url.rstrip('/')}/"
        inside = [name.removeprefix(folder) for name in self.files if name.startswith(folder)]
        if not inside:
            raise NotFoundError(url, "there is no such folder.")
        return tuple(sorted(name for name in inside if "/" not in name))

    def checksum(self, url: str, progress: Progress = unwatched) -> str:  # noqa: ARG002 - the protocol's signature
        self._begin("checksum", url)
        return _copied(self._online(url)).adler32

    def prepare(self, urls: Sequence[str]) -> str:
        for url in urls:
            self._begin("prepare", url)
            self._mounting.setdefault(url, self.mount_polls)
        return f"request-{len(self.calls)}"

    def status(self, request: str, urls: Sequence[str]) -> dict[str, Residence]:  # noqa: ARG002 - the protocol's signature
        return {url: self._residence(url) for url in urls}

    def release(self, request: str, urls: Sequence[str]) -> None:  # noqa: ARG002 - the protocol's signature
        for url in urls:
            self._begin("release", url)
            if url in self._recalled:
                self._recalled.discard(url)
                self.tape.add(url)
            self._mounting.pop(url, None)

    def _begin(self, operation: str, url: str) -> None:
        self.calls.append((operation, url))
        if waiting := self._failures[operation, url]:
            raise waiting.pop(0)

    def _content(self, url: str) -> bytes:
        if url not in self.files:
            raise NotFoundError(url, "there is no such file.")
        return self.files[url]

    def _online(self, url: str) -> bytes:
        data = self._content(url)
        if url in self.tape:
            raise OfflineError(url, "the file is on tape.")
        return data

    def _refuse_folder(self, url: str) -> None:
        if any(name.startswith(f"{url}/") for name in self.files):
            raise ExistsError(url, "there is a folder of this name.")

    def _residence(self, url: str) -> Residence:
        self._begin("status", url)
        if url not in self.files:
            return "missing"
        if url in self._mounting:
            self._mounting[url] -= 1
            if self._mounting[url] <= 0:
                del self._mounting[url]
                self.tape.discard(url)
                self._recalled.add(url)
        return "offline" if url in self.tape else "online"


def _copied(data: bytes) -> Copied:
    return Copied(size=len(data), adler32=hex8(zlib.adler32(data)))
