"""The transfer process: `python -m pilotext.storage.transfer_process`.

A copy that hangs in a storage client can only be ended by ending its process, so the job's process has all of them
done here (`pilotext.storage.transfer`). Requests are lines of JSON on stdin, one at a time, for example
`{"operation": "get", "url": "root://...", "path": "/..."}`. Answers are lines of JSON on stdout: `{"progress": bytes}`
about five times a second while bytes move, then `{"result": ...}` or
`{"error": {"fault": ..., "url": ..., "message": ..., "advice": ...}}`. The end of stdin means that nobody waits for the
answer any more: the process ends at once, also in the middle of a copy.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from queue import SimpleQueue
from typing import Any

import msgspec

from pilotext.errors import StorageError
from pilotext.serialization.json import from_json, ready
from pilotext.storage.operations import Operation, perform

REPORT_EVERY_S = 0.2
CRASHED = 70


class Reporter:
    """Writes answers, and progress not too often."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._next = 0.0

    def progress(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REPORT_EVERY_S
            self.say(progress=done)

    def say(self, **answer: Any) -> None:
        os.write(self._descriptor, msgspec.json.encode(answer) + b"\n")


def main() -> None:
    """Serve requests until stdin ends."""
    # Storage clients may print; their words must not get between the answers.
    reporter = Reporter(os.dup(1))
    os.dup2(2, 1)
    requests: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    try:
        while True:
            _serve(requests.get(), reporter)
    except BaseException:  # whatever it is, the job's process reads it on stderr
        traceback.print_exc()
        raise
    finally:
        os._exit(CRASHED)  # an ordinary exit would wait for the connections of the storage client


def _listen(requests: SimpleQueue[bytes]) -> None:
    """Runs beside the transfers, because those may never come back."""
    buffer = b""
    while piece := os.read(0, 1 << 16):
        *lines, buffer = (buffer + piece).split(b"\n")
        for line in lines:
            requests.put(line)
    os._exit(0)


def _serve(line: bytes, reporter: Reporter) -> None:
    request = from_json(line, dict[str, Any], where="request")
    operation = msgspec.convert(request.pop("operation"), ready(Operation))
    try:
        result = perform(operation, request, reporter.progress)
    except StorageError as error:
        reporter.say(
            error={"fault": error.fault, "url": error.url, "message": error.reason, "advice": error.advice},
        )
    else:
        reporter.say(result=result)


if __name__ == "__main__":
    main()
