"""The transfer process as the job's process sees it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

import pilotext
from pilotext.model.verdict import signal_name
from pilotext.process_lifetime import tied

LAST_WORDS = 4096
REAP_WITHIN_S = 5.0


class ChildEndedError(Exception):
    """The transfer process ended without an answer; the message describes its end."""


class Child:
    """One transfer process, killed at the latest when this object goes away."""

    def __init__(self) -> None:
        self._process = _spawn()
        self._buffer = b""
        self._stderr = b""
        self._selector = selectors.DefaultSelector()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, selectors.EVENT_READ)
        self.kill = weakref.finalize(self, _kill, self._process, self._selector)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self.kill.alive and self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> None:
        """Raises ChildEndedError."""
        try:
            os.write(self._process.stdin.fileno(), msgspec.json.encode(request) + b"\n")  # type: ignore[union-attr]
        except BrokenPipeError as error:
            raise self._ended() from error

    def answers(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return its answers so far; waits at most `timeout_s` for it. Raises ChildEndedError."""
        for key, _ in self._selector.select(timeout_s):
            piece = os.read(key.fd, 1 << 16)
            if key.fileobj is self._process.stderr:
                self._hear(piece)
            elif not piece:
                raise self._ended()
            else:
                self._buffer += piece
        *lines, self._buffer = self._buffer.split(b"\n")
        return [msgspec.json.decode(line) for line in lines]

    def _hear(self, piece: bytes) -> None:
        self._stderr = (self._stderr + piece)[-LAST_WORDS:]
        if not piece and self._process.stderr is not None:
            self._selector.unregister(self._process.stderr)

    def _ended(self) -> ChildEndedError:
        status = self._process.wait()
        if self._process.stderr is not None:
            with suppress(BlockingIOError):
                self._stderr = (self._stderr + os.read(self._process.stderr.fileno(), 1 << 16))[-LAST_WORDS:]
        how = f"by {signal_name(-status)}" if status < 0 else f"with status {status}"
        words = self._stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        return ChildEndedError(f"the transfer process ended {how}: {words[-1].strip()}")


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pilotext.storage.transfer_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment(Path(pilotext.__file__).parents[1]),
        start_new_session=True,
        # The end of stdin would end it too, but not before it listens, nor while a client holds the interpreter's lock.
        preexec_fn=tied(),  # noqa: PLW1509  the wrapper has one thread
    )


def environment(home: Path) -> dict[str, str]:
    """Ours, in which the process finds this package too; -P keeps it from what lies in the work directory.

    Variables for Python that we ignored ourselves (-E), since they are the pilot's, are not for the process either.
    """
    ignored = ("PYTHONPATH", "PYTHONHOME") if sys.flags.ignore_environment else ()
    environment = {name: value for name, value in os.environ.items() if name not in ignored}
    if home.name not in ("site-packages", "dist-packages"):  # a checkout
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home), environment.get("PYTHONPATH")]))
    return environment


def _kill(process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
    selector.close()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        # A process in uninterruptible sleep (a dead network file system) outlives even this; do not wait for it.
        with suppress(subprocess.TimeoutExpired):
            process.wait(REAP_WITHIN_S)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
