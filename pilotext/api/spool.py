"""Reports that could not be delivered yet: one file each, kept until a server takes or refuses it.

Whoever works on a file holds its lock (flock), which the system gives back however a process ends. A file with another
text is locked before it takes the old one's name, so that there is no moment without an owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from msgspec.structs import replace

from pilotext.directory_tree import is_regular, remove_tree
from pilotext.errors import PilotextError, UsageError
from pilotext.model import Record
from pilotext.model.job import ReportTarget
from pilotext.serialization.json import from_json

MAX_REPORTS = 1000
MAX_SPOOL_BYTES = 200_000_000
MAX_REPORT_BYTES = 32_000_000
MAX_ASIDE = 200
OLD_TEMPORARY_S = 3600.0

SUFFIX = ".json"
REASON = ".reason"


class SpoolError(PilotextError):
    """A report cannot be kept in, or read from, the spool."""


class Spooled(Record, frozen=True):
    """A report on its way: where it goes and with which token, since when, and what came of it so far."""

    format: Literal[1]
    label: str
    target: ReportTarget
    report: dict[str, Any]
    since: float
    tries: int = 0
    not_before: float = 0.0
    """Seconds since 1970 before which the server does not want to be asked again."""
    problem: str = ""
    mac: str = ""
    """Proves, by the token, that report and address are as the job left them."""

    @property
    def body(self) -> bytes:
        return msgspec.json.encode(self.report)


class Sealing(Protocol):
    """Makes the content of a file in the spool, and proves where it comes from."""

    def sealed(self, spooled: Spooled) -> bytes: ...

    def opened(self, data: bytes) -> Spooled:
        """Raises UsageError, whose sentence says what is wrong with the file."""
        ...


class TokenSealing:
    """Proves, by the token that a report is sent with, that its address, label and text are as its job left them."""

    def sealed(self, spooled: Spooled) -> bytes:
        return msgspec.json.encode(replace(spooled, mac=_proof(spooled)))

    def opened(self, data: bytes) -> Spooled:
        spooled = from_json(data, Spooled)
        if not hmac.compare_digest(spooled.mac, _proof(spooled)):
            raise UsageError("this report was changed since its job left it.")
        return spooled


def _proof(spooled: Spooled) -> str:
    said = msgspec.json.encode([spooled.label, spooled.target.url, spooled.report])
    return hmac.digest(spooled.target.token.encode(), said, "sha256").hex()


def default_folder(environment: Mapping[str, str]) -> Path | None:
    """PILOTEXT_SPOOL, else below the user's folder for state; None for a user who has none."""
    if named := environment.get("PILOTEXT_SPOOL"):
        return Path(named)
    if state := environment.get("XDG_STATE_HOME"):
        return Path(state) / "pilotext/spool"
    try:
        return Path.home() / ".local/state/pilotext/spool"
    except RuntimeError:
        return None


class Held:
    """A report in the spool whose lock is ours."""

    def __init__(self, path: Path, descriptor: int, sealing: Sealing) -> None:
        self.path = path
        self._descriptor = descriptor
        self._sealing = sealing

    def read(self) -> Spooled:
        """Raises UsageError, whose sentence says what is wrong with the file."""
        if os.fstat(self._descriptor).st_size > MAX_REPORT_BYTES:
            raise UsageError("no report is so large.")
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            data = file.read(MAX_REPORT_BYTES)
        return self._sealing.opened(data)

    def replace(self, spooled: Spooled) -> None:
        """Put another text in its place. Raises OSError, and then keeps the old one."""
        held = _write_locked(self.path, self._sealing.sealed(spooled))
        self.release()
        self._descriptor = held

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Spool:
    """A folder of reports that wait, and in `aside/` those that nobody will take, each with its reason."""

    def __init__(self, folder: Path, sealing: Sealing | None = None) -> None:
        self.folder = folder
        self._sealing = TokenSealing() if sealing is None else sealing
        self.aside = folder / "aside"

    def keep(self, spooled: Spooled) -> Held:
        """Write a report, replacing an earlier one of the same attempt. Raises SpoolError if it cannot be kept."""
        path = self.folder / (name_of(spooled) + SUFFIX)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._ours()
            self._room_for(path, len(spooled.body))
            return Held(path, _write_locked(path, self._sealing.sealed(spooled)), self._sealing)
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror}") from None

    def waiting(self) -> list[Path]:
        """The reports that wait, oldest first; empty where there is no spool. Raises SpoolError."""
        try:
            self._ours()
            self._tidy()
            files = [path for path in self.folder.iterdir() if path.suffix == SUFFIX and path.name[0] != "."]
            return sorted(files, key=lambda path: (_age_key(path), path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror}") from None

    def take(self, path: Path) -> Held | None:
        """The report with its lock; None if somebody else has it, or has just done with it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there, held = path.stat(), os.fstat(descriptor)
            if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
                return Held(path, descriptor, self._sealing)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def set_aside(self, held: Held, reason: str) -> None:
        """Move a report out of the way, with the sentence that says why. Raises OSError."""
        if self.aside.is_symlink() or not self.aside.is_dir():
            remove_tree(self.aside)
        self.aside.mkdir(mode=0o700, exist_ok=True)
        (self.aside / f"{held.path.name}{REASON}").write_text(
            reason + "\n", encoding="ascii", errors="backslashreplace"
        )
        held.path.replace(self.aside / held.path.name)
        held.release()
        for path in sorted(self.aside.glob(f"*{SUFFIX}"), key=_age_key)[:-MAX_ASIDE]:
            path.unlink(missing_ok=True)
            path.with_name(path.name + REASON).unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove the remains of a killed writer, and everything but files: other programs put them there."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            if not is_regular(path):
                remove_tree(path)
        for path in self.folder.glob(f".*{SUFFIX}.*"):
            if time.time() - _age_key(path) > OLD_TEMPORARY_S:
                path.unlink(missing_ok=True)

    def _ours(self) -> None:
        """Tokens are sent to the address that stands beside them, so nobody else may write here."""
        found = self.folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            advice = "Give another folder in PILOTEXT_SPOOL, or correct its owner and mode (0700)."
            raise SpoolError(f"{self.folder}: others can write in this spool.", advice=advice)

    def _room_for(self, path: Path, size: int) -> None:
        others = [one for one in self.folder.iterdir() if one.suffix == SUFFIX and one != path and is_regular(one)]
        total = size + sum(_size(one) for one in others)
        if len(others) >= MAX_REPORTS or total > MAX_SPOOL_BYTES:
            raise SpoolError(f"{self.folder}: the spool is full ({len(others)} reports)")


def name_of(spooled: Spooled) -> str:
    """The name of a report in the spool: one for each attempt at each server."""
    whose = "\0".join((spooled.label, spooled.target.url, spooled.target.token))
    return hashlib.sha256(whose.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _write_locked(path: Path, data: bytes) -> int:
    """Write the file whole, and return the descriptor that holds its lock."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
        raise
    return descriptor


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # somebody else has just sent it
        return path.stat().st_size
    return 0


def _age_key(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
