"""Real HTTP servers on loopback for reports: one that answers as it is told, and ones that hardly answer at all."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

POLL_S = 0.02


@dataclass
class Taken:
    """A request as the server has got it."""

    path: str
    authorization: str | None
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class ReportServer:
    """Answers with one status after the other, the last one for ever; `headers` go with every answer."""

    port: int = 0
    scheme: str = "http"
    statuses: list[int] = field(default_factory=lambda: [204])
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    """The body of every answer."""
    answer_after: threading.Event | None = None
    """Set it to let the server answer; None answers at once."""
    requests: list[Taken] = field(default_factory=list)
    """All but heartbeats, which get answers of their own: statuses in the same way, and a body."""
    heartbeats: list[Taken] = field(default_factory=list)
    heartbeat_statuses: list[int] = field(default_factory=lambda: [200])
    heartbeat_body: bytes = b'{"command": "go-on", "lease_until": 0.0}'

    def url(self, path: str = "/api/v1/attempts/1/report") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def wait_for_requests(self, number: int, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while len(self.requests) < number:
            assert time.monotonic() < deadline, f"{len(self.requests)} requests came, not {number}"
            time.sleep(POLL_S)


@contextmanager
def report_server(
    *statuses: int, tls: bool = False, folder: Path | None = None, port: int = 0
) -> Iterator[ReportServer]:
    """A running server. With `tls` it has a certificate of its own making in `folder`, which nobody trusts."""
    told = ReportServer(statuses=list(statuses) or [204], scheme="https" if tls else "http")
    with _Server(("127.0.0.1", port), _handler(told)) as server:
        if tls:
            assert folder is not None
            server.socket = _tls(folder).wrap_socket(server.socket, server_side=True)
        told.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_S})
        thread.start()
        try:
            yield told
        finally:
            if told.answer_after is not None:
                told.answer_after.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is what some tests are about."""


def _handler(told: ReportServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            taken = Taken(self.path, self.headers["Authorization"], body, dict(self.headers.items()))
            if self.path.endswith("/heartbeat"):
                told.heartbeats.append(taken)
                self._say(told.heartbeat_statuses, told.heartbeat_body)
                return
            told.requests.append(taken)
            if told.answer_after is not None:
                told.answer_after.wait()
            self._say(told.statuses, told.body)

        def _say(self, statuses: list[int], body: bytes) -> None:
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    return Handler


def _tls(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=nobody"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def raw_server(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """The address of a server that does with each connection what `talk` does, until the event is set."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(POLL_S)

        def serve() -> None:
            with _many() as connections:
                while not ended.is_set():
                    try:
                        connection, _ = listener.accept()
                    except TimeoutError:
                        continue
                    connections.append(_start(talk, connection, ended))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/report"
        finally:
            ended.set()
            thread.join()


def mute(connection: socket.socket, ended: threading.Event) -> None:
    """Takes everything and says nothing."""
    ended.wait()


def drip(connection: socket.socket, ended: threading.Event) -> None:
    """Begins an answer, and never comes to its end: a byte now and then."""
    connection.sendall(b"HTTP/1.1 204 No Content\r\n")
    while not ended.wait(POLL_S):
        connection.sendall(b"X")


def hang_up(connection: socket.socket, ended: threading.Event) -> None:
    """Dies in the middle of the request."""
    connection.recv(1)


def babble(connection: socket.socket, ended: threading.Event) -> None:
    """Speaks something else than HTTP."""
    connection.recv(65536)
    connection.sendall(b"220 mail.example.org ESMTP\r\n")


def dead_url() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/report"


def _start(
    talk: Callable[[socket.socket, threading.Event], None], connection: socket.socket, ended: threading.Event
) -> threading.Thread:
    def converse() -> None:
        with connection:
            try:
                talk(connection, ended)
            except OSError:  # the client has given up, as it should
                return

    thread = threading.Thread(target=converse)
    thread.start()
    return thread


@contextmanager
def _many() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join()


def authorizations(requests: Sequence[Taken]) -> set[str | None]:
    """What the requests were authorized by."""
    return {request.authorization for request in requests}
