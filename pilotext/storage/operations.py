"""The operations of a storage system by name, as they travel between the job's process and its transfer process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pilotext.storage.base import Copied, FileStat, Progress, Residence
from pilotext.storage.registry import for_url

Operation = Literal["stat", "get", "put", "move", "remove", "list", "checksum", "prepare", "status", "release"]

RESULTS: dict[Operation, Any] = {
    "stat": FileStat,
    "get": Copied,
    "put": Copied,
    "move": None,
    "remove": None,
    "list": tuple[str, ...],
    "checksum": str,
    "prepare": str,
    "status": dict[str, Residence],
    "release": None,
}


def subject(arguments: dict[str, Any]) -> str:
    """The URL that an operation is about."""
    return str(arguments.get("url") or arguments.get("source") or next(iter(arguments.get("urls", ())), ""))


def perform(operation: Operation, arguments: dict[str, Any], progress: Progress) -> Any:
    """Carry out one operation of `Storage`, its arguments by name; a path may be text. Raises StorageError."""
    storage = for_url(subject(arguments))
    if "path" in arguments:
        arguments = {**arguments, "path": Path(arguments["path"])}
    if operation in ("get", "put", "checksum"):
        arguments = {**arguments, "progress": progress}
    return getattr(storage, operation)(**arguments)
