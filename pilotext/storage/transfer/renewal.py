"""Renewal of credentials: no operation on remote storage begins with a proxy or token that ends before it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from pilotext.environment import for_wrapper
from pilotext.errors import CredentialError, RenewalError
from pilotext.formatting import duration
from pilotext.model.verdict import signal_name
from pilotext.process_lifetime import tied
from pilotext.redaction import Redactor
from pilotext.sanitize import one_line
from pilotext.storage.credentials import (
    REFRESH,
    Credential,
    CredentialSettings,
    credential_settings,
    find_credential,
    told_end,
)
from pilotext.storage.operations import Operation, subject
from pilotext.storage.transfer.mover import Mover
from pilotext.storage.urls import XROOTD, scheme_of

RENEW_BEFORE_S = 3600.0
"""A credential with less left is renewed, where there is a command for it; one that never has so much, in its last
third."""

TOUCH_S = 60.0
"""Time for an operation that moves no file."""

MIN_TRANSFER_S = 300.0
ASSUMED_KB_S = 1000.0
"""Rate at which a transfer is expected to go at least, in kB/s: half an hour for 2 GB."""

COMMAND_WITHIN_S = 60.0
"""Time for the command that renews; after that it is ended."""

NEXT_TRY_S = 300.0
"""Time from one renewal to the next while the credential suffices."""

SOON_S = 10.0
"""The same while it does not: operations meanwhile fail with the reason of the last renewal."""

FRESH = 0.8
"""A credential with this part of its life left cannot be bettered: a long transfer begins with it."""

_TICK_S = 0.1
_LAST_WORDS = 300


class RenewingMover:
    """A mover that renews credentials before an operation, and refuses one that would outlast them.

    `do` raises RenewalError where the command that renews has failed, since a later try may find it working, and
    CredentialError where there is no such command; and whatever the mover below raises.
    """

    def __init__(self, mover: Mover, settings: CredentialSettings, environ: Mapping[str, str]) -> None:
        self._mover = mover
        self._settings = settings
        self._environ = environ
        self._renewal = _Renewal()
        self._in_a_hurry = False
        self._seen: tuple[str, int] = ("", 0)
        """URL and size of the file that was last asked about: it is fetched next."""

    def do(self, operation: Operation, **arguments: Any) -> Any:
        url = subject(arguments)
        if scheme_of(url) in XROOTD:
            self._require(url, self._needed_s(operation, arguments))
        result = self._mover.do(operation, **arguments)
        if operation == "stat":
            self._seen = (url, result.size)
        return result

    def pause(self, seconds: float) -> None:
        self._mover.pause(seconds)

    def close(self) -> None:
        self._mover.close()

    @contextmanager
    def hurried(self) -> Iterator[None]:
        before, self._in_a_hurry = self._in_a_hurry, True
        try:
            with self._mover.hurried():
                yield
        finally:
            self._in_a_hurry = before

    def tidier(self) -> Mover:
        """The mover below: what tidies up does not wait for a renewal."""
        return self._mover.tidier()

    def _needed_s(self, operation: Operation, arguments: Mapping[str, Any]) -> float:
        """Return the seconds that an operation may take."""
        if operation not in ("get", "put"):
            return TOUCH_S
        url, size = self._seen
        if operation == "put":
            with contextlib.suppress(OSError):  # the operation itself says what is wrong with the file
                size = Path(arguments["path"]).stat().st_size
        elif url != arguments["url"]:
            size = 0
        return max(MIN_TRANSFER_S, size / 1000 / ASSUMED_KB_S)

    def _require(self, url: str, needed_s: float) -> None:
        shortest = self._shortest()
        if self._settings.refresh and self._renewal.is_due(shortest.left_s(time.time()), needed_s, self._in_a_hurry):
            shortest = self._renew(shortest)
        if not self._renewal.suffices(shortest.left_s(time.time()), needed_s):
            self._refuse(shortest, url, needed_s)

    def _shortest(self) -> Credential:
        """Return the one of the credentials that ends first."""
        at = time.time()
        return min(
            (find_credential(kind, self._environ) for kind in self._settings.kinds), key=lambda each: each.left_s(at)
        )

    def _renew(self, before: Credential) -> Credential:
        """Run the command; what follows it begins with a connection that knows the new credential."""
        problem = _problem_of(self._settings.refresh, self._environ, self._mover)
        after = self._shortest()
        self._renewal.note(problem, after.left_s(time.time()))
        if after != before:
            self._mover.close()
        return after

    def _refuse(self, credential: Credential, url: str, needed_s: float) -> None:
        what = f"the {credential.kind} {credential.path} {told_end(credential, time.time())}"
        reason = f"{what}, and this operation may take {duration(round(needed_s))}"
        if not self._settings.refresh:
            advice = f"Renew it, or set {REFRESH} to a command that does."
            raise CredentialError(url, f"{reason}.", advice=advice)
        problem = self._renewal.problem or "it gave none that lasts longer"
        raise RenewalError(url, f"{reason}; {self._settings.refresh[0]} has not renewed it: {problem}")


class _Renewal:
    """The last renewal: when it was, its problem, and the life of the credential that it gave."""

    def __init__(self) -> None:
        self.problem = ""
        self._at = -NEXT_TRY_S
        self._life_s: float | None = None

    def note(self, problem: str, left_s: float) -> None:
        self.problem, self._at = problem, time.monotonic()
        self._life_s = None if problem else left_s

    def is_due(self, left_s: float, needed_s: float, in_a_hurry: bool) -> bool:
        """Whether the command is to run now."""
        if in_a_hurry:
            return False
        early_s = RENEW_BEFORE_S if self._life_s is None else min(RENEW_BEFORE_S, self._life_s / 3)
        suffices = self.suffices(left_s, needed_s)
        return (not suffices or left_s < early_s) and time.monotonic() - self._at >= (
            NEXT_TRY_S if suffices else SOON_S
        )

    def suffices(self, left_s: float, needed_s: float) -> bool:
        """Whether an operation may begin: the credential outlasts it, or is as fresh as it can be."""
        if self._life_s is not None and left_s >= FRESH * self._life_s:
            needed_s = min(needed_s, MIN_TRANSFER_S)
        return left_s >= needed_s


def _problem_of(words: tuple[str, ...], environ: Mapping[str, str], mover: Mover) -> str:
    """Run a command to its end; returns the reason why it has failed, empty when it ended well."""
    try:
        process = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in for_wrapper(environ).items() if not name.startswith("PILOTEXT_")},
            start_new_session=True,
            preexec_fn=tied(),  # noqa: PLW1509  as the transfer process
        )
    except OSError as error:
        return f"it cannot be started: {error.strerror}."
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    try:
        with process.stdout as said:
            ended, last = _heard(process, said, mover)
    finally:
        with contextlib.suppress(ProcessLookupError):  # the process is not reaped yet, so its number is not another's
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    if not ended:
        return f"it had not ended after {COMMAND_WITHIN_S:g} s: {last}"
    how = f"ended by {signal_name(-status)}" if status < 0 else f"status {status}"
    return "" if status == 0 else f"{how}: {last}"


def _heard(process: subprocess.Popen[bytes], said: IO[bytes], mover: Mover) -> tuple[bool, str]:
    """Return whether a command has ended in time, and the last line that it has printed; it is not reaped."""
    last, end = b"", time.monotonic() + COMMAND_WITHIN_S
    while True:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        piece = cast("bytes | None", said.read(1 << 16))  # None: nothing is there yet; empty: nothing will come
        last = (last + (piece or b""))[-_LAST_WORDS:]
        if (ended and not piece) or time.monotonic() > end:
            return ended, _last_line(last)
        if piece is None:  # a pipe holds little: what comes is read at once
            select.select([said], [], [], _TICK_S)
        mover.pause(_TICK_S if piece == b"" else 0.0)


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return Redactor().text(one_line(lines[-1])) if lines else "it said nothing."


def with_credentials(mover: Mover, environ: Mapping[str, str]) -> Mover:
    """Return a mover that keeps the credentials valid which PILOTEXT_CREDENTIAL_KINDS names. Raises UsageError."""
    settings = credential_settings(environ)
    return RenewingMover(mover, settings, environ) if settings.kinds else mover
