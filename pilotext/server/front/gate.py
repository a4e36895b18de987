"""RSGI application before the WSGI application: limits and deadlines in the event loop, whole requests in threads.

A connection that sends slowly, or nothing, costs memory of a bounded size and no thread. Bodies beyond a few kilobytes
are read only when the caller is proved. What is refused here was never handed to a thread.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from pilotext.server.front.address import PEER, REPEATED, Network, client_address
from pilotext.server.front.guard import BodyPolicy, Guard, Response
from pilotext.server.front.health import HealthProbe
from pilotext.server.production.refusal import RefusalError

log = logging.getLogger("pilotext.front")

WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]

METHODS = frozenset({"GET", "HEAD", "POST"})
MAX_QUERY_BYTES = 16 * 1024
MAX_PATH_BYTES = 2 * 1024
MAX_UNPROVED_BODY_BYTES = 8 * 1024
"""A larger body is read only when its token was found good."""

MAX_BODIES_BYTES = 256 * 1024 * 1024
"""Sum of the bodies of this process that are being read or worked on, beside small ones."""

BODY_WITHIN_S = 10.0
MIN_BODY_BYTES_S = 10_000
"""A body must be here within BODY_WITHIN_S, and the time that it needs at this rate."""

MAX_WAITING_PER_THREAD = 16
"""Requests that wait for a thread, or have one, for each thread there is."""

RETRY_AFTER_S = "5"


class Headers(Protocol):
    """Headers of a request, by their names in small letters."""

    def get(self, key: str) -> str | None: ...
    def get_all(self, key: str) -> list[str]: ...
    def items(self) -> list[tuple[str, str]]: ...


class RsgiScope(Protocol):
    """Head of a request, as Granian gives it."""

    proto: str
    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None

    @property
    def headers(self) -> Headers: ...


class Exchange(Protocol):
    """Granian's HTTP protocol: the body of the request, and the way to answer."""

    async def __call__(self) -> bytes: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


@dataclass(frozen=True)
class RsgiRequest:
    """Head of a request, checked: address of the client, its token, and the announced length of the body."""

    scope: RsgiScope
    address: str
    token: str
    policy: BodyPolicy
    length: int | None
    """None: a body of unknown length follows (chunked)."""


class RequestGate:
    """The application that Granian serves."""

    def __init__(
        self, application: WsgiApplication, guard: Guard, *, threads: int, trusted: tuple[Network, ...] = ()
    ) -> None:
        self._application = application
        self._guard = guard
        self._trusted = trusted
        self._threads = ThreadPoolExecutor(threads, "request")
        self._max_waiting = threads * MAX_WAITING_PER_THREAD
        self._waiting = 0
        self._reserved_bytes = 0
        self._health = HealthProbe(lambda: call(application, environ_of_health()))

    async def __rsgi__(self, scope: RsgiScope, exchange: Exchange) -> None:
        try:
            await self._serve(scope, exchange)
        except RefusalError as error:
            _send(exchange, self._guard.refusal(scope.path, error))
        except ConnectionError:  # raised below for a client that went away; there is nobody to answer
            return
        except Exception:  # the boundary
            log.exception("%s %s failed", scope.method, scope.path)
            mistake = RefusalError("internal", "this is a mistake of the server; its log has the details.")
            _send(exchange, self._guard.refusal(scope.path, mistake))

    async def _serve(self, scope: RsgiScope, exchange: Exchange) -> None:
        if scope.path == "/health" and scope.method in ("GET", "HEAD"):
            _send(exchange, await self._health.answer())
            return
        request = self._checked(scope)
        proved = self._guard.screen(request.policy, request.token, request.address)
        if request.length == 0:
            await self._hand_over(request, exchange, b"")
        elif request.length is not None and (proved or request.length <= MAX_UNPROVED_BODY_BYTES):
            await self._with_body(request, exchange)
        else:
            policy, token, address = request.policy, request.token, request.address
            await self._in_thread(lambda: self._guard.prove(policy, token, address))
            await self._with_body(request, exchange)

    def _checked(self, scope: RsgiScope) -> RsgiRequest:
        if scope.proto != "http" or scope.method not in METHODS:
            raise RefusalError("not-allowed", f"{scope.method:.20} is not for any address; use GET or POST.")
        if len(scope.path) > MAX_PATH_BYTES or len(scope.query_string) > MAX_QUERY_BYTES:
            raise RefusalError("too-large", f"the address is longer than {MAX_QUERY_BYTES} bytes.")
        policy = self._guard.policy_of(scope.method, scope.path)
        headers = scope.headers
        length = _length_of(headers)
        if length is not None and length > policy.max_body_bytes:
            raise RefusalError("too-large", f"the body has more than {policy.max_body_bytes} bytes.")
        peer = peer_of(scope)
        forwarded = headers.get_all("x-forwarded-for") if self._trusted else []
        address = client_address(peer, forwarded, self._trusted)
        return RsgiRequest(scope, address, _token_of(scope, policy), policy, length)

    async def _with_body(self, request: RsgiRequest, exchange: Exchange) -> None:
        most = request.policy.max_body_bytes if request.length is None else request.length
        reserved = most if most > MAX_UNPROVED_BODY_BYTES else 0
        if self._reserved_bytes + reserved > MAX_BODIES_BYTES:
            raise RefusalError("busy", "the server is busy with other requests; send this one again later.")
        self._reserved_bytes += reserved
        try:
            body = await _body(exchange, request.length, most)
            await self._hand_over(request, exchange, body)
        finally:
            self._reserved_bytes -= reserved

    async def _hand_over(self, request: RsgiRequest, exchange: Exchange, body: bytes) -> None:
        await self._in_thread(lambda: _send(exchange, call(self._application, environ_of(request, body))))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        if self._waiting >= self._max_waiting:
            raise RefusalError("busy", "too many requests wait already; ask again in a while.")
        self._waiting += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _length_of(headers: Headers) -> int | None:
    """Return the announced length of the body, 0 if none follows; None if the body itself says it."""
    if headers.get("transfer-encoding") is not None:
        return None
    text = headers.get("content-length")
    return int(text) if text else 0  # the server has refused everything but numbers


def _token_of(scope: RsgiScope, policy: BodyPolicy) -> str:
    if policy.role == "ticket":
        found = (part.partition("=") for part in scope.query_string.split("&"))
        return next((unquote_to_bytes(value).decode("latin-1") for name, _, value in found if name == "ticket"), "")
    scheme, _, token = (scope.headers.get("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _body(exchange: Exchange, length: int | None, most: int) -> bytes:
    try:
        async with asyncio.timeout(BODY_WITHIN_S + most / MIN_BODY_BYTES_S):
            return await exchange() if length is not None else await _collected(exchange, most)
    except TimeoutError:
        raise RefusalError("too-slow", "the body did not come in time.") from None
    except RuntimeError as error:  # Granian's, for a client that went away
        raise ConnectionError(str(error)) from None


async def _collected(exchange: Exchange, most: int) -> bytes:
    parts, size = [], 0
    async for part in exchange:
        size += len(part)
        if size > most:
            raise RefusalError("too-large", f"the body has more than {most} bytes.")
        parts.append(part)
    return b"".join(parts)


_SEPARATORS = {"cookie": "; "}
"""Separators of values of a header that a request has more than once, where a comma means something else (RFC 9113,
8.2.3: HTTP/2 sends each cookie by itself)."""


def peer_of(scope: RsgiScope) -> str:
    """Return the address at the other end of the connection: that of the client, or of the last proxy."""
    return scope.client.rpartition(":")[0].strip("[]")


def environ_of(request: RsgiRequest, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment of a whole request."""
    scope = request.scope
    environ = {
        **_environ(scope.method, scope.path, scope.query_string, scope.scheme, body),
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": request.address,
        PEER: peer_of(scope),
    }
    server, _, port = scope.server.rpartition(":")
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server, port
    repeated = set()
    for name, value in scope.headers.items():
        if name not in ("content-type", "content-length", "proxy") and "_" not in name:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            if key in environ:
                repeated.add(key)
            environ[key] = f"{environ[key]}{_SEPARATORS.get(name, ',')}{value}" if key in environ else value
    environ[REPEATED] = frozenset(repeated)
    if kind := scope.headers.get("content-type"):
        environ["CONTENT_TYPE"] = kind
    if scope.authority is not None and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority
    return environ


def environ_of_health() -> dict[str, Any]:
    """Return the WSGI environment of the request that the health probe makes."""
    return {**_environ("GET", "/health", "", "http", b""), "REMOTE_ADDR": "", "SERVER_NAME": "localhost"}


def _environ(method: str, path: str, query: str, scheme: str, body: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": scheme,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def call(application: WsgiApplication, environ: dict[str, Any]) -> Response:
    """Return what a WSGI application answers, whole."""
    told: list[tuple[str, list[tuple[str, str]]]] = []
    parts = application(environ, lambda status, headers, _info=None: told.append((status, headers)))
    try:
        body = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    status, headers = told[-1]
    return Response(int(status[:3]), headers, body)


def _send(exchange: Exchange, response: Response) -> None:
    exchange.response_bytes(response.status, response.headers, response.body)
