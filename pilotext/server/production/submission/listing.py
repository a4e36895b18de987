"""What is in a folder of a storage system."""

from __future__ import annotations

from pilotext.storage.transfer import ChildMover
from pilotext.storage.urls import join

STALL_S = 120.0


def list_folder(url: str) -> tuple[str, ...]:
    """URLs of the files in a folder, sorted; its sub-folders are not looked into. Raises StorageError."""
    mover = ChildMover(STALL_S)
    try:
        names: tuple[str, ...] = mover.do("list", url=url)
    finally:
        mover.close()
    return tuple(join(url, name) for name in names)
