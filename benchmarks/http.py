"""A client that costs little: what it takes from the machine, the server cannot have."""

from __future__ import annotations

import socket
from typing import Any

import msgspec


class HttpError(Exception):
    """An answer other than 200."""


class Connection:
    """One server; with `keep`, one connection for all requests. Not to be shared between threads."""

    def __init__(self, port: int, token: str, *, keep: bool = True) -> None:
        self._address = ("127.0.0.1", port)
        self._token = token
        self._keep = keep
        self._socket: socket.socket | None = None

    def post(self, path: str, body: Any, token: str | None = None) -> bytes:
        """The body of the answer, raw. Raises HttpError."""
        data = msgspec.json.encode(body)
        return self._ask(self._head("POST", path, token) + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)

    def get(self, path: str) -> bytes:
        return self._ask(self._head("GET", path, None) + b"\r\n")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _head(self, method: str, path: str, token: str | None) -> bytes:
        keep = "keep-alive" if self._keep else "close"
        return (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {keep}\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {token or self._token}\r\n"
        ).encode()

    def _ask(self, request: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, 60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        status, body = self._answer(self._socket)
        if not self._keep:
            self.close()
        if status != 200:
            raise HttpError(f"{status}: {body[:500].decode(errors='replace')}")
        return body

    def _answer(self, source: socket.socket) -> tuple[int, bytes]:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._received(source)
        head = data[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        parts, missing = [data[end + 4 :]], length - (len(data) - end - 4)
        while missing > 0:
            parts.append(self._received(source))
            missing -= len(parts[-1])
        return int(head[9:12]), b"".join(parts)

    @staticmethod
    def _received(source: socket.socket) -> bytes:
        some = source.recv(1 << 18)
        if not some:
            raise HttpError("the server closed the connection")
        return some
