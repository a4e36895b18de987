"""Private way of a job's reports to the process that started the wrapper.

The files in the work directory belong to the payload's user, so a payload can write there what it likes. An agent
therefore hands the wrapper one end of a pair of sockets. Nothing that the wrapper starts inherits it, and the wrapper
forbids other processes of its user to inspect it (`pilotext.process_lifetime.forbid_inspection`), so what comes out at
the other end was written by the wrapper. Each report is one line of JSON; the last one that is not `running` is final.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time

import msgspec

from pilotext.errors import UsageError
from pilotext.model.report import Report

PATIENCE_S = 60.0
"""Time that a reader which takes nothing is waited for; its end is noticed at once."""


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

    def send(self, report: Report) -> None:
        """Send a report; where the reader has gone, or takes nothing for long, nothing is sent from then on."""
        data = memoryview(msgspec.json.encode(report) + b"\n")
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
