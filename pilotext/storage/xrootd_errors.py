"""What XRootD's status codes mean to us.

The client's codes are those of `XrdCl/XrdClStatus.hh`, the server's (30xx) those of `XProtocol/XProtocol.hh`.
"""

from __future__ import annotations

from typing import Any

from pilotext.errors import (
    ChecksumError,
    CredentialError,
    DeniedError,
    ExistsError,
    NoSpaceError,
    NotFoundError,
    OfflineError,
    StalledError,
    StorageError,
    TransientError,
    UnsupportedError,
)
from pilotext.storage.os_errors import BY_ERRNO

OS_ERROR, SERVER_ERROR, LOCAL_ERROR = 12, 400, 402
FILE_SYSTEM_ERROR, IS_DIRECTORY = 3005, 3016

BY_CLIENT_CODE: dict[int, type[StorageError]] = {
    **dict.fromkeys((13, 205), UnsupportedError),  # not supported, query not supported
    **dict.fromkeys((14, 305), ChecksumError),  # data error, checksum error
    204: CredentialError,  # no protocols left to try
    304: NotFoundError,
    **dict.fromkeys((103, 206), StalledError),  # socket timeout, operation expired
    # no replica left, name not resolved, sockets and connections, TLS, handshake, login, thresholds, redirections
    **dict.fromkeys(
        (16, 101, 102, 104, 105, 106, 107, 108, 109, 110, 202, 203, 208, 301, 302, 303, 306), TransientError
    ),
    # to be tried again, a file whose connection broke under it, half a pipeline, messages cut short, broken off
    **dict.fromkeys((1, 3, 17, 201, 207, 307), TransientError),
}

BY_SERVER_CODE: dict[int, type[StorageError]] = {
    **dict.fromkeys((3009, 3021), NoSpaceError),  # no space, over quota
    **dict.fromkeys((3010, 3025), DeniedError),  # not authorized, read-only file system
    **dict.fromkeys((3028, 3030), CredentialError),  # TLS required, authentication failed
    3011: NotFoundError,
    3013: UnsupportedError,
    **dict.fromkeys((IS_DIRECTORY, 3018), ExistsError),
    3019: ChecksumError,
    # locked, io error, no memory, server error, no server, in progress, overloaded, too many errors, timeouts
    **dict.fromkeys((3003, 3007, 3008, 3012, 3014, 3020, 3024, 3033, 3034, 3035), TransientError),
}

# 3005 is whatever the server's file system said; only its text tells what it was.
BY_TEXT: dict[str, type[StorageError]] = {
    "read/only": DeniedError,
    "no disk replica": OfflineError,
    "not empty": ExistsError,
}


def storage_error(status: Any, url: str, *, reading: bool, local: str = "") -> StorageError:
    """The error for a status that is not ok.

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
    if status.code not in (SERVER_ERROR, LOCAL_ERROR, OS_ERROR):
        return BY_CLIENT_CODE.get(status.code, StorageError)
    if status.errno == FILE_SYSTEM_ERROR:
        return next((kind for text, kind in BY_TEXT.items() if text in status.message), StorageError)
    return BY_SERVER_CODE.get(status.errno) or BY_ERRNO.get(status.errno, StorageError)
