"""Reports on their way: on disk until the server has taken them or said that it never will.

The payload's user owns the disk. So the files are signed with a key that comes from the agent's own token, the tokens
of attempts are hidden in them by the same key, and a file that was changed is put aside, not sent.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import msgspec

from pilotext.agent.sealing import Seal
from pilotext.api.client import Client, ServerError
from pilotext.directory_tree import remove_tree
from pilotext.errors import FieldError
from pilotext.model import Record
from pilotext.model.report import Report
from pilotext.serialization.json import from_json

MAX_FILE_BYTES = 64_000_000


class Waiting(Record, frozen=True):
    """A report with what its delivery needs; the token is hidden."""

    attempt: int
    token: str
    report: Report


class AgentSpool:
    """A folder of reports, of an agent with this seal; only its owner may read it."""

    def __init__(self, folder: Path, seal: Seal) -> None:
        self._folder = folder
        self._seal = seal
        self._lock = threading.Lock()
        self._in_memory: dict[int, Waiting] = {}
        """Those for which the disk had no room."""
        self._silent = False
        """Whether the server did not answer just now: each further report would wait as long for nothing."""

    def keep(self, attempt: int, token: str, report: Report) -> None:
        """Put a report on disk, whole or not at all; where that cannot be done it is kept in memory."""
        waiting = Waiting(attempt, self._seal.hide(token), report)
        try:
            write_whole(self._folder / f"{attempt}.json", self._seal.sign(msgspec.json.encode(waiting)))
        except OSError:
            with self._lock:
                self._in_memory[attempt] = waiting

    def deliver(self, client: Client) -> int:
        """Send what is there; returns how many reports stay. Those that the server refuses for good are put aside."""
        with self._lock:
            self._silent = False
            left = {attempt: one for attempt, one in self._in_memory.items() if self._sent(client, one) == "later"}
            self._in_memory = left
            return len(left) + sum(not self._delivered(client, path) for path in sorted(self._folder.glob("*.json")))

    def _delivered(self, client: Client, path: Path) -> bool:
        try:
            waiting = from_json(self._seal.verified(read_own(path), str(path)), Waiting, where=str(path))
        except FileNotFoundError:  # another agent in this folder has just sent it
            return True
        except (FieldError, OSError):
            put_aside(path, ".unreadable")
            return True
        outcome = self._sent(client, waiting)
        if outcome == "refused":
            put_aside(path, ".refused")
        elif outcome == "taken":
            remove_tree(path)
        return outcome != "later"

    def _sent(self, client: Client, waiting: Waiting) -> str:
        if self._silent:
            return "later"
        try:
            client.report(waiting.attempt, self._seal.show(waiting.token), waiting.report)
        except ServerError as error:
            self._silent = error.status == 0
            return "later" if error.worth_another_try else "refused"
        return "taken"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file for its owner alone, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def put_aside(path: Path, suffix: str) -> None:
    """Give a file that is of no use another suffix, whatever it is and has that name; where that fails it stays."""
    aside = path.with_suffix(suffix)
    remove_tree(aside)
    with contextlib.suppress(OSError):
        path.rename(aside)


def read_own(path: Path) -> bytes:
    """Return the content of an ordinary file of bounded size, whatever was put in its place. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if data is None or len(data) > MAX_FILE_BYTES:
        raise OSError(f"{path}: it is too large")
    return data
