"""`file://`: what the machine itself has mounted."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pilotext.errors import ChecksumError, ExistsError, NotFoundError
from pilotext.storage.base import CHUNK, Copied, FileStat, Progress, Residence, adler32_of, hex8, unwatched
from pilotext.storage.os_errors import translated
from pilotext.storage.urls import local_path


class LocalStorage:
    """Files of this machine; a copy appears under its name only when it is whole."""

    def stat(self, url: str) -> FileStat:
        with translated(url):
            return FileStat(size=_file(url).stat().st_size)

    def get(self, url: str, path: Path, progress: Progress) -> Copied:
        return _copy(url, f"file://{path.absolute()}", progress)

    def put(self, path: Path, url: str, progress: Progress) -> Copied:
        with translated(url):
            local_path(url).parent.mkdir(parents=True, exist_ok=True)
        return _copy(f"file://{path.absolute()}", url, progress)

    def move(self, source: str, target: str) -> None:
        with translated(source):
            _file(source).stat()
        with translated(target):
            _file(source).replace(local_path(target))

    def remove(self, url: str) -> None:
        with translated(url):
            _part_of(local_path(url)).unlink(missing_ok=True)  # what a killed copy left behind
            _file(url).unlink()

    def list(self, url: str) -> tuple[str, ...]:
        with translated(url):
            return tuple(sorted(entry.name for entry in local_path(url).iterdir() if entry.is_file()))

    def checksum(self, url: str, progress: Progress = unwatched) -> str:
        with translated(url):
            return adler32_of(_file(url), progress)

    def prepare(self, urls: Sequence[str]) -> str:  # noqa: ARG002 - the protocol's signature
        """Nothing here is on tape; the id is empty."""
        return ""

    def status(self, request: str, urls: Sequence[str]) -> dict[str, Residence]:  # noqa: ARG002 - the protocol's signature
        return {url: _residence(url) for url in urls}

    def release(self, request: str, urls: Sequence[str]) -> None:
        """Nothing here is on tape."""


def _file(url: str) -> Path:
    path = local_path(url)
    if path.is_dir():
        raise NotFoundError(url, "this is a folder, not a file.")
    return path


def _residence(url: str) -> Residence:
    with translated(url):
        return "online" if local_path(url).is_file() else "missing"


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _copy(source: str, target: str, progress: Progress) -> Copied:
    """Copy beside the target, read it back, then rename."""
    path = local_path(target)
    part = _part_of(path)
    with translated(target):
        if path.exists() and not path.is_file():
            raise ExistsError(target, "there is a folder or a device of this name.")
        try:
            left = _write(part, _pieces(source), progress)
            arrived = Copied(part.stat().st_size, adler32_of(part, lambda _: progress(left.size)))
            if arrived != left:
                raise ChecksumError(target, f"{arrived} was written, {left} read from {source}.")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return left


def _pieces(source: str) -> Iterator[bytes]:
    with translated(source), _file(source).open("rb") as reader:
        while piece := reader.read(CHUNK):
            yield piece


def _write(part: Path, pieces: Iterator[bytes], progress: Progress) -> Copied:
    value, done = 1, 0
    with part.open("wb") as writer:
        for piece in pieces:
            writer.write(piece)
            value = zlib.adler32(piece, value)
            done += len(piece)
            progress(done)
    return Copied(size=done, adler32=hex8(value))
