"""Renewal of credentials: no operation on remote storage begins with a proxy or token that ends before it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from pilotext.environment import for_wrapper
from pilotext.errors import CredentialError, TransientError
from pilotext.process_lifetime import tied
from pilotext.sanitize import one_line
from pilotext.storage.credentials import (
    REFRESH,
    Credential,
    CredentialKind,
    CredentialSettings,
    credential_settings,
    find_credential,
    told_end,
)
from pilotext.storage.operations import Operation, subject
from pilotext.storage.transfer.mover import Mover
from pilotext.storage.urls import XROOTD, scheme_of

RENEW_BEFORE_S = 3600.0
"""A credential with less left is renewed, where there is a command for it."""

TOUCH_S = 60.0
"""Time for an operation that moves no file."""

MIN_TRANSFER_S = 300.0
ASSUMED_KB_S = 1000.0
"""Rate at which a transfer is expected to go at least, in kB/s: half an hour for 2 GB."""

COMMAND_WITHIN_S = 60.0
"""Time for the command that renews; after that it is ended."""

NEXT_TRY_S = 300.0
"""Time after a failed renewal in which a credential that still suffices is used as it is."""

_TICK_S = 0.1
_LAST_WORDS = 300


class RenewingMover:
    """A mover that renews credentials before an operation, and refuses one that would outlast them.

    `do` raises TransientError where the command that renews has failed, since a later try may find it working, and
    CredentialError where there is no such command; and whatever the mover below raises.
    """

    def __init__(self, mover: Mover, settings: CredentialSettings, environ: Mapping[str, str]) -> None:
        self._mover = mover
        self._settings = settings
        self._environ = environ
        self._problem = ""
        self._failed_at = -NEXT_TRY_S
        self._seen: tuple[str, int] = ("", 0)
        """URL and size of the file that was last asked about: it is fetched next."""

    def do(self, operation: Operation, **arguments: Any) -> Any:
        url = subject(arguments)
        if scheme_of(url) in XROOTD:
            for kind in self._settings.kinds:
                self._require(kind, url, self._needed_s(operation, arguments))
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
        with self._mover.hurried():
            yield

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

    def _require(self, kind: CredentialKind, url: str, needed_s: float) -> None:
        credential = find_credential(kind, self._environ)
        left_s = credential.left_s(time.time())
        if left_s < max(needed_s, RENEW_BEFORE_S) and self._settings.refresh and self._may_renew(left_s < needed_s):
            self._renew()
            credential = find_credential(kind, self._environ)
            left_s = credential.left_s(time.time())
        if left_s < needed_s:
            self._refuse(credential, url, needed_s)

    def _may_renew(self, must: bool) -> bool:
        return must or time.monotonic() - self._failed_at >= NEXT_TRY_S

    def _refuse(self, credential: Credential, url: str, needed_s: float) -> None:
        what = f"the {credential.kind} {credential.path} {told_end(credential, time.time())}"
        reason = f"{what}, and this operation may take {needed_s / 60:.0f} min"
        if not self._settings.refresh:
            advice = f"Renew it, or set {REFRESH} to a command that does."
            raise CredentialError(url, f"{reason}.", advice=advice)
        command = shlex.join(self._settings.refresh)
        problem = self._problem or "it has ended well, and the credential is no better"
        raise TransientError(url, f"{reason}; `{command}` has not renewed it: {problem}.")

    def _renew(self) -> None:
        """Run the command; transfers after it begin with a connection that knows the new credential."""
        self._problem = self._run()
        if self._problem:
            self._failed_at = time.monotonic()
        else:
            self._mover.close()

    def _run(self) -> str:
        """Return the reason why the command has failed; empty when it ended well."""
        words = self._settings.refresh
        with TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env=for_wrapper(self._environ),
                    start_new_session=True,
                    preexec_fn=tied(),  # noqa: PLW1509  as the transfer process
                )
            except OSError as error:
                return f"it cannot be started: {error.strerror}"
            try:
                ended = self._wait(process)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if not ended:
                return f"it had not ended after {COMMAND_WITHIN_S:g} s"
            return "" if process.returncode == 0 else f"status {process.returncode}: {_last_words(said)}"

    def _wait(self, process: subprocess.Popen[bytes]) -> bool:
        end = time.monotonic() + COMMAND_WITHIN_S
        while process.poll() is None:
            if time.monotonic() > end:
                return False
            self._mover.pause(_TICK_S)
        return True


def _last_words(said: IO[bytes]) -> str:
    """Return the last line that a command has printed."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _LAST_WORDS))
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return one_line(lines[-1]) if lines else "it said nothing"


def with_credentials(mover: Mover, environ: Mapping[str, str]) -> Mover:
    """Return a mover that keeps the credentials valid which PILOTEXT_CREDENTIALS names. Raises UsageError."""
    settings = credential_settings(environ)
    return RenewingMover(mover, settings, environ) if settings.kinds else mover
