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
    if status.code == OS_ERROR:
        return BY_ERRNO.get(status.errno, TransientError)
    if status.code not in (SERVER_ERROR, LOCAL_ERROR):
        return BY_CLIENT_CODE.get(status.code, TransientError)
    if status.errno == FILE_SYSTEM_ERROR:
        return next((kind for text, kind in BY_TEXT.items() if text in status.message), StorageError)
    return BY_SERVER_CODE.get(status.errno) or BY_ERRNO.get(status.errno, StorageError)
