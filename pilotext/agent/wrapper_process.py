"""A process of ours that works on a job: started with a private way for its reports, and without our secrets."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec.structs import replace

from pilotext.directory_tree import remove_tree
from pilotext.environment import for_wrapper
from pilotext.errors import FieldError
from pilotext.model.permission import Permission, PermissionQuestion
from pilotext.model.report import Report
from pilotext.process_lifetime import end_with_parent
from pilotext.serialization.json import from_json

OUTPUT_NAME = "pilotext.out"
MAX_REPORT_BYTES = 64_000_000
_CHUNK_BYTES = 1 << 16
_LAST_BYTES = 4000
_READ_WITHIN_S = 10.0
"""After the end of the process: its last report may still be on its way to us."""


class WrapperProcess:
    """A running `pilotext WORDS --report-fd N`, and the reports that came from it.

    Only what comes by its channel counts: files in its folder can be written by the payload.
    """

    def __init__(self, words: Sequence[str], document: bytes, folder: Path, holding: int) -> None:
        """Start it in `folder` with `document` on stdin; `holding` is a descriptor that it inherits."""
        self.last: Report | None = None
        """The last report that is not final."""
        self.last_words = ""
        """Last line of its output when it has ended, which may be the payload's too: for people."""
        self.question: int | None = None
        """Number of its question whether it may publish, until that is answered."""
        self.final: Report | None = None
        self._ours, theirs = socket.socketpair()
        self._output: IO[bytes] = open(_new_file(folder / OUTPUT_NAME), "w+b")  # noqa: SIM115  a descriptor
        command = [sys.executable, "-P", "-s", "-X", "utf8", "-m", "pilotext", *words]
        try:
            self._process = subprocess.Popen(
                [*command, "--report-fd", str(theirs.fileno())],
                cwd=folder,
                env=for_wrapper(os.environ),
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(holding, theirs.fileno()),
                # An agent that is killed must not leave a job behind that nobody renews the lease of.
                preexec_fn=end_with_parent,  # noqa: PLW1509  one system call, nothing that could wait for another thread
            )
        except BaseException:
            self._ours.close()
            self._output.close()
            raise
        finally:
            theirs.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._give(document)

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    def answer(self, number: int, permission: Permission) -> None:
        """Answer a question of this number."""
        if self.question == number:
            self.question = None
        line = msgspec.json.encode(replace(permission, number=number)) + b"\n"
        with contextlib.suppress(OSError):  # it has ended, or reads nothing: then it does not publish, or does not wait
            self._ours.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def terminate(self) -> None:
        self._process.terminate()

    def resume(self) -> None:
        """Let it go on if a payload has stopped it, with all that would do so below it."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Send SIGKILL; the subreaper ends the processes that are left behind."""
        self._process.kill()

    def close(self) -> None:
        """End it if it still runs, and take what it has said last."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(_READ_WITHIN_S)
        with contextlib.suppress(OSError):  # the other end is closed, as it should be
            self._ours.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._ours.close()
        self.last_words = self._last_line()

    def _last_line(self) -> str:
        with self._output as output:
            output.seek(max(0, os.fstat(output.fileno()).st_size - _LAST_BYTES))
            said = output.read(_LAST_BYTES).decode("ascii", "replace").strip().splitlines()
        return said[-1] if said else ""

    def _give(self, document: bytes) -> None:
        stdin = self._process.stdin
        try:
            if stdin is not None:
                with stdin:
                    stdin.write(document)
        except BrokenPipeError:  # it has ended; its status tells
            return

    def _read(self) -> None:
        rest = b""
        while piece := _received(self._ours):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > MAX_REPORT_BYTES:
                return
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            report = from_json(line, Report)
        except FieldError:
            self._hear(line)
            return
        if report.state == "running":
            self.last = report
        else:
            self.final = report

    def _hear(self, line: bytes) -> None:
        try:
            self.question = from_json(line, PermissionQuestion).may_publish
        except FieldError:  # of another version of pilotext, installed meanwhile
            return


def _received(ours: socket.socket) -> bytes:
    try:
        return ours.recv(_CHUNK_BYTES)
    except OSError:
        return b""


def _new_file(path: Path) -> int:
    """Return a descriptor of a new file; what was there in its place is removed, also while others do the same."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        fresh.replace(path)
    except OSError:  # nobody reads it by its name but people
        fresh.unlink(missing_ok=True)
    return descriptor
