"""The little of PanDA's legacy protocol that a pilot needs to run one job: getJob, updateJob, and a file to download.

A real HTTP server on 127.0.0.1. It hands its job out once, remembers every update, and answers one with a command.
"""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

FINAL_STATES = ("finished", "failed", "holding")

LOOKED_AT_WITHIN_S = 30.0

Update = dict[str, Any]


class PandaServer:
    """Serves one job to one pilot; `updates` are the pilot's updates of it, in their order.

    `jobs` are handed out once each; `files` are what can be downloaded, by name, from any folder. `command` gives the
    answer to the update of that number its command, such as `tobekilled`; the default is none. `reports` are those that
    the wrapper itself posts to `/report`.
    """

    def __init__(self, command: Callable[[int], str] = lambda _: "NULL") -> None:
        self.jobs: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.updates: list[Update] = []
        self.reports: list[dict[str, Any]] = []
        self.final = threading.Event()
        self.looked_at = threading.Event()
        """Set by the test when it has read the files of the job: the last update is answered then."""
        self._command = command
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._give(self)

            def do_POST(self) -> None:
                server._take(self)

            def log_message(self, *_: object) -> None:
                """The updates are the log."""

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _give(self, request: http.server.BaseHTTPRequestHandler) -> None:
        content = self.files.get(Path(request.path).name)
        if content is None:
            request.send_error(404)
        else:
            _answer(request, content)

    def _take(self, request: http.server.BaseHTTPRequestHandler) -> None:
        sent = _decoded(request)
        verb = request.path.rpartition("/")[2]
        if verb == "getJob":
            answer = self.jobs.pop() if self.jobs else {"StatusCode": 20, "errorDialog": "No jobs in PanDA"}
        elif verb == "updateJob":
            self.updates.append(sent)
            answer = {"StatusCode": 0, "command": self._command(len(self.updates))}
            if sent["state"] in FINAL_STATES:
                self.final.set()
                self.looked_at.wait(LOOKED_AT_WITHIN_S)  # the pilot removes the work directory after our answer
        elif verb == "report":
            self.reports.append(sent)
            answer = {}
        else:
            answer = {"StatusCode": 0}
        _answer(request, json.dumps(answer).encode())


def _decoded(request: http.server.BaseHTTPRequestHandler) -> Update:
    """Old pilots post a form by curl, new ones gzipped JSON that says nothing of the gzip."""
    body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    if "json" in request.headers.get("Content-Type", ""):
        decoded: Update = json.loads(body or b"{}")
        return decoded
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


def _answer(request: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
