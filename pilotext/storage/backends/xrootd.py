"""XRootD servers (`root://`), among them EOS, CTA and CASTOR.

The Python client has traps, which this module avoids: timeouts are only taken from the environment at import; `run()`
reports success after a failed `prepare()`; `retry`, `xrate` and `xrateThreshold` of `add_job` reach the wrong
parameters (6.2.1), so they are never passed; an unknown checksum mode silently compares nothing; an upload that fails
leaves its part under the target's name; removing a folder is allowed. A server that freezes in the middle of a copy is
noticed after XRD_REQUESTTIMEOUT only: `pilotext.storage.transfer` has the shorter watch.

The client's status codes are those of `XrdCl/XrdClStatus.hh`, the server's (30xx) those of `XProtocol/XProtocol.hh`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pilotext.errors import (
    ChecksumError,
    CredentialError,
    DeniedError,
    ExistsError,
    FieldError,
    NoSpaceError,
    NotFoundError,
    OfflineError,
    StalledError,
    StorageError,
    TransientError,
    UnsupportedError,
)
from pilotext.serialization.json import from_json
from pilotext.storage.base import Copied, FileStat, Progress, Residence, hex8, unwatched
from pilotext.storage.os_errors import BY_ERRNO, translated
from pilotext.storage.urls import join, split_xrootd

OS_ERROR, SERVER_ERROR, LOCAL_ERROR = 12, 400, 402
FILE_SYSTEM_ERROR, IS_DIRECTORY = 3005, 3016

# Codes of `XrdCl/XrdClStatus.hh` (the same from 5.0 to 6.2) that stay however often one asks. Every other one, also a
# code of a later version, tells of a connection, a session or a process that is in a bad state, and a fresh process
# heals that: which of them comes out of a broken connection is a race (7 and 32 of a broken pipe, 11 "Initialization
# error" in the place of the real one after a server that is gone, 3 for a file whose connection broke under it).
BY_CLIENT_CODE: dict[int, type[StorageError]] = {
    **dict.fromkeys((8, 9, 13, 15, 205), UnsupportedError),  # unknown command, arguments, not supported, query likewise
    **dict.fromkeys((14, 305), ChecksumError),  # data error, checksum error: one fresh copy
    204: CredentialError,  # no protocols left to try
    304: NotFoundError,
    **dict.fromkeys((103, 206), StalledError),  # socket timeout, operation expired: transient, with a name of their own
}

# Codes of `XProtocol/XProtocol.hh`, kXR_ArgInvalid (3000) to kXR_TimerExpired (3035). A server that was restarted knows
# neither the files (3004) nor the logins (3006) of before, and answers to them with errors that a fresh session heals.
BY_SERVER_CODE: dict[int, type[StorageError]] = {
    **dict.fromkeys((3009, 3021), NoSpaceError),  # no space, over quota
    **dict.fromkeys((3010, 3025), DeniedError),  # not authorized, read-only file system
    **dict.fromkeys((3028, 3030), CredentialError),  # TLS required, authentication failed
    3011: NotFoundError,
    3013: UnsupportedError,
    **dict.fromkeys((IS_DIRECTORY, 3018), ExistsError),
    3019: ChecksumError,
    # locked, file not open, invalid request, io error, no memory, server error, no server, cancelled, in progress
    **dict.fromkeys((3003, 3004, 3006, 3007, 3008, 3012, 3014, 3017, 3020), TransientError),
    # signature, decryption, overloaded, bad payload, no replicas, conflict, too many errors, timeouts
    **dict.fromkeys((3022, 3023, 3024, 3026, 3029, 3032, 3033, 3034, 3035), TransientError),
}

# 3005 is whatever the server's file system said; only its text tells what it was.
BY_TEXT: dict[str, type[StorageError]] = {
    "read/only": DeniedError,
    "no disk replica": OfflineError,
    "not empty": ExistsError,
}


def storage_error(status: Any, url: str, *, reading: bool, local: str = "") -> StorageError:
    """Return the error for a status that is not ok.

    `reading` says that a folder in place of the file is a missing file; `local` is the path to blame for an error of
    this machine.
    """
    kind = _kind(status)
    if reading and status.errno == IS_DIRECTORY:
        kind = NotFoundError
    blamed = f"file://{local}" if local and status.code == LOCAL_ERROR else url
    return kind(blamed, sentence(status.message))


def sentence(message: str) -> str:
    """A status message without line ends, zero bytes and the words that every one begins with."""
    text = " ".join(message.replace("\0", " ").split())
    for noise in ("[ERROR] ", "[FATAL] ", "Server responded with an error: "):
        text = text.removeprefix(noise)
    return text or "no reason given"


def _kind(status: Any) -> type[StorageError]:
    if status.code == OS_ERROR:
        return BY_ERRNO.get(status.errno, TransientError)
    if status.code not in (SERVER_ERROR, LOCAL_ERROR):
        return BY_CLIENT_CODE.get(status.code, TransientError)
    if status.errno == FILE_SYSTEM_ERROR:
        return next((kind for text, kind in BY_TEXT.items() if text in status.message), StorageError)
    return BY_SERVER_CODE.get(status.errno) or BY_ERRNO.get(status.errno, StorageError)


# The client's own defaults wait up to 30 minutes for a dead server; the user's settings go before these.
TIMEOUTS_S = {
    "XRD_CONNECTIONWINDOW": "30",
    "XRD_CONNECTIONRETRY": "3",
    "XRD_REQUESTTIMEOUT": "300",
    "XRD_STREAMTIMEOUT": "60",
    "XRD_TIMEOUTRESOLUTION": "5",
    "XRD_STREAMERRORWINDOW": "60",
}

# With the client's defaults (4 pieces of 8 MB) a copy takes up to 350 MB of memory, and is no faster.
PIECE = 2 << 20
PIECES_AT_ONCE = 2


class XRootDStorage:
    """Files of XRootD servers; the opaque part of a URL (`?svcClass=...`) is passed on as it is."""

    def __init__(self) -> None:
        for name, value in TIMEOUTS_S.items():
            os.environ.setdefault(name, value)
        self._client = importlib.import_module("XRootD.client")
        self._flags = importlib.import_module("XRootD.client.flags")

    def stat(self, url: str) -> FileStat:
        info = self._ask("stat", url)
        if info.flags & self._flags.StatInfoFlags.IS_DIR:
            raise NotFoundError(url, "this is a folder, not a file.")
        return FileStat(size=info.size, offline=bool(info.flags & self._flags.StatInfoFlags.OFFLINE))

    def get(self, url: str, path: Path, progress: Progress) -> Copied:
        found = self.stat(url)
        if found.offline:
            raise OfflineError(url, "the file is on tape.")
        return self._copy(url, _local(path), url, path, progress)

    def put(self, path: Path, url: str, progress: Progress) -> Copied:
        source = _local(path)
        with translated(source):
            path.stat()
        # Written over, a file keeps the checksum that the server remembers for it if both came in one second.
        with suppress(NotFoundError):
            self.remove(url)
        return self._copy(source, url, url, path, progress)

    def move(self, source: str, target: str) -> None:
        if split_xrootd(source)[0] != split_xrootd(target)[0]:
            raise UnsupportedError(target, f"a file cannot be renamed from one server to another ({source}).")
        self.stat(source)
        self._ask("mv", source, split_xrootd(target)[1], blame=target)

    def remove(self, url: str) -> None:
        self.stat(url)  # a server removes empty folders too
        self._ask("rm", url)

    def list(self, url: str) -> tuple[str, ...]:
        folder = self._flags.StatInfoFlags.IS_DIR
        if not self._ask("stat", url).flags & folder:
            raise NotFoundError(url, "this is a file, not a folder.")
        told = self._ask("dirlist", url, self._flags.DirListFlags.STAT)
        found = ((each.name, each.statinfo or self._ask("stat", join(url, each.name))) for each in told)
        return tuple(sorted(name for name, info in found if not info.flags & folder))

    def checksum(self, url: str, progress: Progress = unwatched) -> str:  # noqa: ARG002 - the server tells none
        # XRootD 5.5.3 that was asked for the checksum of a folder some hundred times never answers for it again.
        self.stat(url)
        server, path = split_xrootd(url)
        wanted = path + ("&" if "?" in path else "?") + "cks.type=adler32"
        status, answer = self._client.FileSystem(server).query(self._flags.QueryCode.CHECKSUM, wanted)
        if not status.ok:
            raise self._reading_error(status, url)
        kind, _, value = _text(answer).partition(" ")
        if kind != "adler32":
            raise UnsupportedError(url, f"the server gives {kind} checksums, not adler32.")
        return hex8(value)

    def prepare(self, urls: Sequence[str]) -> str:
        server, paths = _one_server(urls)
        status, answer = self._client.FileSystem(server).prepare(paths, self._flags.PrepareFlags.STAGE)
        if not status.ok:
            raise storage_error(status, urls[0], reading=True)
        return _text(answer)

    def status(self, request: str, urls: Sequence[str]) -> dict[str, Residence]:
        server, paths = _one_server(urls)
        question = "\n".join([request, *paths])
        status, answer = self._client.FileSystem(server).query(self._flags.QueryCode.PREPARE, question)
        text = _text(answer) if status.ok else ""
        if not text.startswith("{"):  # no tape behind this server, or it has forgotten the request
            return {url: self._residence(url) for url in urls}
        return _residences(text, dict(zip(urls, paths, strict=True)))

    def release(self, request: str, urls: Sequence[str]) -> None:
        server, paths = _one_server(urls)
        try:
            online = [
                path for url, path in zip(urls, paths, strict=True) if self.status(request, [url])[url] == "online"
            ]
        except OfflineError:  # the request has failed, and so none of its files has come
            online = []
        flags = self._flags.PrepareFlags
        coming = [path for path in paths if path not in online]
        for flag, words in ((flags.EVICT, online), (flags.CANCEL, [request, *coming] if coming else [])):
            if words:
                status, _ = self._client.FileSystem(server).prepare(words, flag)
                if not status.ok:
                    raise storage_error(status, urls[0], reading=True)

    def _ask(self, method: str, url: str, *more: str, blame: str = "") -> Any:
        """One call of the client's FileSystem; `blame` is the URL that a target's error is about."""
        server, path = split_xrootd(url)
        status, answer = getattr(self._client.FileSystem(server), method)(path, *more)
        if not status.ok:
            raise storage_error(status, blame or url, reading=not blame)
        return answer

    def _copy(self, source: str, target: str, url: str, path: Path, progress: Progress) -> Copied:
        process = self._client.CopyProcess()
        process.add_job(
            source,
            target,
            force=True,
            mkdir=True,
            checksummode="end2end",
            checksumtype="adler32",
            chunksize=PIECE,
            parallelchunks=PIECES_AT_ONCE,
        )
        status = process.prepare()
        results: list[dict[str, Any]] = [{}]
        if status.ok:
            status, results = process.run(_watch(self._client, progress))
        outcome = results[0].get("status", status)
        for each in (status, outcome):
            if not each.ok:
                raise _copy_error(each, results[0], url, path, reading=source == url)
        return _compared(results[0], url)

    def _reading_error(self, status: Any, url: str) -> StorageError:
        """Servers call the checksum of a file on tape not found."""
        error = storage_error(status, url, reading=True)
        if isinstance(error, NotFoundError) and self._residence(url) == "offline":
            return OfflineError(url, error.reason)
        return error

    def _residence(self, url: str) -> Residence:
        try:
            return "offline" if self.stat(url).offline else "online"
        except NotFoundError:
            return "missing"


def _local(path: Path) -> str:
    """A path as the client takes it; it would cut the name at a question mark without a word."""
    if "?" in str(path):
        raise UnsupportedError(f"file://{path}", "XRootD cannot copy local files with `?` in their path.")
    return f"file://{path.absolute()}"


def _watch(client: Any, progress: Progress) -> Any:
    class Watch(client.utils.CopyProgressHandler):  # type: ignore[misc]
        def update(self, job: int, done: int, total: int) -> None:  # noqa: ARG002 - the client's signature
            progress(done)

    return Watch()


def _copy_error(status: Any, result: dict[str, Any], url: str, path: Path, *, reading: bool) -> StorageError:
    error = storage_error(status, url, reading=reading, local=str(path))
    if not isinstance(error, ChecksumError):
        return error
    sums = [result.get(side) for side in ("sourceCheckSum", "targetCheckSum")]
    if all(sums):
        return ChecksumError(url, f"{sums[0]} left and {sums[1]} arrived.")
    return error


def _compared(result: dict[str, Any], url: str) -> Copied:
    """A copy counts only with both checksums in hand, of the wanted kind, and equal."""
    sums = [str(result.get(side)).partition(":") for side in ("sourceCheckSum", "targetCheckSum")]
    if any(kind != "adler32" for kind, _, _ in sums):
        raise UnsupportedError(url, "the copy was not compared: one side gave no adler32.")
    left, arrived = (hex8(value) for _, _, value in sums)
    if left != arrived:
        raise ChecksumError(url, f"adler32 {left} left and {arrived} arrived.")
    return Copied(size=int(result["size"]), adler32=arrived)


def _text(answer: bytes | None) -> str:
    """Answers end with a zero byte, and sometimes with rubbish after it."""
    return (answer or b"").split(b"\0", 1)[0].decode("utf-8", "replace").strip()


def _one_server(urls: Sequence[str]) -> tuple[str, list[str]]:
    parts = [split_xrootd(url) for url in urls]
    servers = {server for server, _ in parts}
    if len(servers) != 1:
        raise UnsupportedError(" ".join(urls), "one request is for the files of one server.")
    return servers.pop(), [path for _, path in parts]


def _residences(answer: str, paths: dict[str, str]) -> dict[str, Residence]:
    """Reads the answer of EOS and CTA: an object a path, in `responses`."""
    try:
        found = from_json(answer, dict[str, Any]).get("responses", [])
        by_path: dict[str, dict[str, Any]] = {entry["path"]: entry for entry in found}
    except (FieldError, KeyError, TypeError) as error:
        raise StorageError(next(iter(paths)), f"the server's answer about tape makes no sense: {error}") from error
    return {url: _told(url, by_path.get(path.partition("?")[0], {})) for url, path in paths.items()}


def _told(url: str, entry: dict[str, Any]) -> Residence:
    if not entry.get("path_exists", entry.get("exists", False)):  # the older spelling of CTA is `exists`
        return "missing"
    if entry.get("online"):
        return "online"
    if reason := entry.get("error_text"):
        raise OfflineError(url, f"the tape system says: {reason}")
    return "offline"
