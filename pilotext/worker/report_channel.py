"""Private way of a job's reports to the process that started the wrapper.

The files in the work directory belong to the payload's user, so a payload can write there what it likes. An agent
therefore hands the wrapper one end of a pair of sockets. Nothing that the wrapper starts inherits it, and the wrapper
forbids other processes of its user to inspect it (`pilotext.process_lifetime.forbid_inspection`), so what comes out at
the other end was written by the wrapper. Each report is one line of JSON; the last one that is not `running` is final.
A line may also be a question, which the other end answers with a line.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Callable

import msgspec

from pilotext.errors import FieldError, UsageError
from pilotext.model.permission import Permission, PermissionQuestion
from pilotext.model.report import Report
from pilotext.serialization.json import from_json

PATIENCE_S = 60.0
"""Time that a reader which takes nothing is waited for; its end is noticed at once."""

ANSWER_WITHIN_S = 5.0
"""Time for an answer before a job goes on without one: agents of former versions never answer."""

KEPT_ANSWER_WITHIN_S = 90.0
"""The same for outputs that are kept, which are published later then; the agent waits for its server meanwhile."""

_STEP_S = 0.1
_CHUNK_BYTES = 1 << 16


class ReportChannel:
    """One end of a pair of sockets, over which reports go out."""

    def __init__(self, descriptor: int) -> None:
        """Take a descriptor over. Raises UsageError for one that is not a socket."""
        try:
            is_socket = descriptor > 2 and stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        except (OSError, OverflowError):
            is_socket = False
        if not is_socket:
            raise UsageError(f"--report-fd: {descriptor} is not an inherited socket.")
        os.set_inheritable(descriptor, False)
        self._socket: socket.socket | None = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._asked = 0
        self._rest = b""

    def send(self, report: Report) -> None:
        """Send a report; where the reader has gone, or takes nothing for long, nothing is sent from then on."""
        self._send(msgspec.json.encode(report))

    def ask(self, within_s: float, tick: Callable[[], None]) -> Permission:
        """Ask the reader whether the outputs may be published; `unknown` without an answer in time.

        `tick` is called several times a second and may raise.
        """
        self._asked += 1
        self._send(msgspec.json.encode(PermissionQuestion(self._asked)))
        give_up_at = time.monotonic() + within_s
        while (lines := self._received()) is not None and time.monotonic() < give_up_at:
            for answer in map(_permission, lines):
                if answer is not None and answer.number == self._asked:  # else it is for one that was given up
                    return answer
            tick()
        return Permission("unknown")

    def _received(self) -> list[bytes] | None:
        """Return the lines that have come, after a short wait for one; None when no more can come."""
        if self._socket is None:
            return None
        if not select.select([self._socket], [], [], _STEP_S)[0]:
            return []
        try:
            piece = self._socket.recv(_CHUNK_BYTES)
        except OSError:
            return None
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return lines if piece else None

    def _send(self, line: bytes) -> None:
        data = memoryview(line + b"\n")
        give_up_at = time.monotonic() + PATIENCE_S
        while data and self._socket is not None:
            left = max(0.0, give_up_at - time.monotonic())
            try:
                if not select.select([], [self._socket], [], left)[1]:
                    raise TimeoutError
                data = data[self._socket.send(data, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                continue
            except OSError:
                self._socket.close()
                self._socket = None


def _permission(line: bytes) -> Permission | None:
    try:
        return from_json(line, Permission)
    except FieldError:  # of another version of pilotext
        return None
