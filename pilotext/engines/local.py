"""Processes on this machine, for tests and small farms: what a batch system does, without a queue.

Each process holds the lock of a file until it ends, whoever started it; so a factory that starts anew finds them all.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pilotext.engines.base import BatchJob, Order, SubmissionOutcome, environment
from pilotext.errors import BatchError


class LocalEngine:
    """Starts each batch job at once as a process in a session of its own, and finds it by its lock."""

    job_id = "$$"
    end = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "local"
        self._children: list[subprocess.Popen[bytes]] = []

    def submit(self, order: Order) -> SubmissionOutcome:
        for done in range(order.count):
            try:
                self._start(order)
            except OSError as error:
                return SubmissionOutcome(done, f"{order.script} cannot be started: {error.strerror}.")
        return SubmissionOutcome(order.count)

    def jobs(self, name: str) -> list[BatchJob]:
        self._children = [child for child in self._children if child.poll() is None]
        try:
            files = sorted(self._folder.glob(f"{name}:*"))
            running = [path for path in files if not _removed_if_ended(path)]
            return [BatchJob(path.name, queued=False, id=path.read_text()) for path in running]
        except OSError as error:
            raise BatchError(f"{self._folder} cannot be read: {error.strerror}.") from None

    def cancel(self, numbers: Sequence[str]) -> None:
        for number in numbers:
            path = self._folder / number
            if not _removed_if_ended(path) and (process := path.read_text()):
                os.kill(int(process), signal.SIGTERM)

    def _start(self, order: Order) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{order.name}:{secrets.token_hex(6)}"
        fresh = self._folder / f".{path.name}"
        held = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            fresh.rename(path)  # locked before anybody can find it
            with (order.output / f"{path.name}.out").open("wb") as output:
                process = subprocess.Popen(
                    ["/bin/sh", str(order.script)],
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=(held,),
                )
            self._children.append(process)
            os.write(held, str(process.pid).encode())
        finally:
            os.close(held)


def _removed_if_ended(path: Path) -> bool:
    """Whether the process that held this file has ended; its file is removed then."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # somebody else has removed it
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
