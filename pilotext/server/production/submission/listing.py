"""What is in a folder of a storage system."""

from __future__ import annotations

import importlib
from pathlib import Path
from urllib.parse import urlsplit

from pilotext.errors import DeniedError, NotFoundError, StorageError, UnsupportedError
from pilotext.storage.urls import XROOTD, join, scheme_of, split_xrootd, why_malformed

_WITHIN_S = 60


def list_folder(url: str) -> tuple[str, ...]:
    """URLs of the files in a folder, sorted; its sub-folders are not looked into. Raises StorageError."""
    if problem := why_malformed(url):
        raise UnsupportedError(url, problem)
    scheme = scheme_of(url)
    if scheme == "file":
        names = _local(url)
    elif scheme in XROOTD:
        names = _xrootd(url)
    else:
        raise UnsupportedError(url, "folders are listed over root:// and file:// only.")
    return tuple(join(url, name) for name in sorted(names))


def _local(url: str) -> list[str]:
    try:
        return [entry.name for entry in Path(urlsplit(url).path).iterdir() if entry.is_file()]
    except FileNotFoundError:
        raise NotFoundError(url, "there is no such folder.") from None
    except PermissionError:
        raise DeniedError(url, "this folder may not be read.") from None
    except OSError as error:
        raise StorageError(url, f"{error.strerror}.") from None


def _xrootd(url: str) -> list[str]:
    client = importlib.import_module("XRootD.client")  # it has no types
    flags = importlib.import_module("XRootD.client.flags")
    server, path = split_xrootd(url)
    status, listing = client.FileSystem(server).dirlist(path, flags.DirListFlags.STAT, timeout=_WITHIN_S)
    if not status.ok or listing is None:
        raise StorageError(url, f"{status.message.strip()}.")
    return [entry.name for entry in listing if entry.statinfo and not entry.statinfo.flags & flags.StatInfoFlags.IS_DIR]
