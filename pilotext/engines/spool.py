"""Reports on their way: on disk until the server has taken them or said that it never will."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec

from pilotext.decode import from_json
from pilotext.engines.client import Client, ServerError
from pilotext.errors import FieldError
from pilotext.model import Record, Report


class Waiting(Record, frozen=True):
    """A report with what its delivery needs."""

    attempt: int
    token: str
    report: Report


class Spool:
    """A folder of reports; only its owner may read it, since it holds their tokens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def keep(self, attempt: int, token: str, report: Report) -> None:
        """Put a report on disk, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{attempt}.json"
        temporary = path.with_suffix(f".{os.getpid()}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(msgspec.json.encode(Waiting(attempt, token, report)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def deliver(self, client: Client) -> int:
        """Send what is there; returns how many reports stay. Those that the server refuses for good are put aside."""
        with self._lock:
            return sum(not self._delivered(client, path) for path in sorted(self._folder.glob("*.json")))

    def _delivered(self, client: Client, path: Path) -> bool:
        try:
            waiting = from_json(path.read_bytes(), Waiting, where=str(path))
            client.report(waiting.attempt, waiting.token, waiting.report)
        except ServerError as error:
            if error.worth_another_try:
                return False
            path.rename(path.with_suffix(".refused"))
            return True
        except FieldError:
            path.rename(path.with_suffix(".unreadable"))
            return True
        path.unlink()
        return True
