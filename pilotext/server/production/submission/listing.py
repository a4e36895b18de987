"""Files in a folder of a storage system: for whoever runs the command, or by the server for others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pilotext.errors import UsageError
from pilotext.server.production.refusal import RefusalError
from pilotext.storage.transfer import ChildMover
from pilotext.storage.urls import join

STALL_S = 120.0

SERVER_WITHIN_S = 20.0
"""The server lists a folder for a request, which has one of its threads meanwhile."""

SERVER_ALL_WITHIN_S = 60.0
"""All folders of one task."""

MAX_AT_ONCE = 4

LISTABLE_FOLDERS = "PILOTEXT_LISTABLE_FOLDERS"

_listing = threading.BoundedSemaphore(MAX_AT_ONCE)


def list_folder(url: str, within_s: float = STALL_S) -> tuple[str, ...]:
    """Return URLs of the files in a folder, sorted; its sub-folders are not looked into. Raises StorageError."""
    mover = ChildMover(within_s)
    try:
        names: tuple[str, ...] = mover.do("list", url=url)
    finally:
        mover.close()
    return tuple(join(url, name) for name in names)


def lister_for_others() -> Callable[[str], tuple[str, ...]]:
    """Return a function that lists folders for one request, all of them within SERVER_ALL_WITHIN_S."""
    end = time.monotonic() + SERVER_ALL_WITHIN_S
    return lambda url: list_for_others(url, end - time.monotonic())


def list_for_others(url: str, left_s: float = SERVER_ALL_WITHIN_S) -> tuple[str, ...]:
    """Return the files of a folder that the server may list for a caller: on its own disk only where a setting says so.

    Raises UsageError for a folder that is not for callers, RefusalError while others are listed, StorageError.
    """
    if left_s <= 0:
        raise UsageError(f"{url}: the folders before it took {SERVER_ALL_WITHIN_S:g} s.", advice="Name the files.")
    if not url.startswith("root://") and not _is_listable(url):
        raise UsageError(
            f"the folder {url} is not listed by the server.",
            advice=f"Name the files, or let the server's {LISTABLE_FOLDERS} name a folder above it.",
        )
    if not _listing.acquire(blocking=False):
        raise RefusalError("busy", f"{MAX_AT_ONCE} folders are being listed already; submit it again in a while.")
    try:
        return list_folder(url, min(SERVER_WITHIN_S, left_s))
    finally:
        _listing.release()


def _is_listable(url: str) -> bool:
    roots = [Path(word).resolve() for word in os.environ.get(LISTABLE_FOLDERS, "").split(":") if word]
    if not url.startswith("file:///"):
        return False
    folder = Path(url.removeprefix("file://")).resolve()
    return any(folder.is_relative_to(root) for root in roots)
