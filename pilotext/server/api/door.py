"""A WSGI application over a list of endpoints; the boundary where refusals and mistakes become statuses."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse

import msgspec
from django.db import OperationalError, close_old_connections

from pilotext.api.schemas.errors import Problem
from pilotext.server.api import auth, metrics
from pilotext.server.api.endpoint import Call, Endpoint, number_of
from pilotext.server.front.guard import Policy
from pilotext.server.production.refusal import RefusalError

log = logging.getLogger("pilotext.api")

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Environ = dict[str, Any]

STATUS = {
    "unauthorized": "401 Unauthorized",
    "forbidden": "403 Forbidden",
    "not-found": "404 Not Found",
    "not-allowed": "405 Method Not Allowed",
    "conflict": "409 Conflict",
    "too-large": "413 Content Too Large",
    "invalid": "422 Unprocessable Content",
    "too-many": "429 Too Many Requests",
    "too-slow": "408 Request Timeout",
    "busy": "503 Service Unavailable",
    "unavailable": "503 Service Unavailable",
    "internal": "500 Internal Server Error",
}
_encode = msgspec.json.Encoder().encode
MAX_QUERY_FIELDS = 100
RETRY_AFTER_S = "5"
NO_DATABASE = "the database does not answer, or takes no further connections; ask again in a while."


class Door:
    """The endpoints, found by method and path; a segment in braces stands for any one segment."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)
        self._by_length: dict[int, list[Endpoint]] = {}
        for endpoint in endpoints:
            self._by_length.setdefault(len(endpoint.segments), []).append(endpoint)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        close_old_connections()
        endpoint, status, body = self._answer(environ)
        close_old_connections()
        metrics.count(endpoint.path if endpoint else "none", status[:3], time.perf_counter() - began)
        start_response(status, headers_of(status, "application/json", body))
        return [body]

    def policy_of(self, method: str, path: str) -> Policy:
        """Return the limits of a request. Raises RefusalError where there is no endpoint."""
        endpoint, values = self._find(method, path)
        return Policy(endpoint.role, endpoint.limit if method == "POST" else 0, attempt_in(values))

    def _answer(self, environ: Environ) -> tuple[Endpoint | None, str, bytes]:
        endpoint, token = None, ""
        try:
            endpoint, path = self._find(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
            query = fields_of(environ.get("QUERY_STRING", ""))
            token = auth.bearer(environ.get("HTTP_AUTHORIZATION", ""))
            if endpoint.role == "ticket":
                token = query.get("ticket", "")
            caller = auth.admit(endpoint.role, token, auth.address_of(environ), attempt_in(path))
            raw = read_body(environ, endpoint.limit) if endpoint.method == "POST" else b""
            refuse_nul(b"" if endpoint.raw else raw, *path.values(), *query.values())
            body = endpoint.decode_query(query) if endpoint.query is not None else endpoint.decode(raw)
            answer = endpoint.function(Call(path, query, body, raw, token, caller))
            if endpoint.role in ("attempt", "ticket"):
                auth.proved(token)
            return endpoint, "200 OK", _encode(answer)
        except RefusalError as error:
            if error.kind == "forbidden" and endpoint is not None and endpoint.role in ("attempt", "ticket"):
                auth.failed(token, auth.address_of(environ))
            return endpoint, STATUS[error.kind], problem_of(error)
        except OperationalError:
            log.exception("%s %s failed", environ.get("REQUEST_METHOD"), endpoint.path if endpoint else "")
            return endpoint, STATUS["busy"], problem_of(RefusalError("busy", NO_DATABASE))
        except Exception:  # the boundary
            log.exception("%s %s failed", environ.get("REQUEST_METHOD"), endpoint.path if endpoint else "")
            problem = Problem("internal", "this is a mistake of the server; its log has the details.")
            return endpoint, STATUS["internal"], _encode(problem)

    def _find(self, method: str, text: str) -> tuple[Endpoint, dict[str, str]]:
        words = text.strip("/").split("/")
        other = False
        for endpoint in self._by_length.get(len(words), ()):
            path = _matched(endpoint.segments, words)
            if path is None:
                continue
            if endpoint.method == method:
                return endpoint, path
            other = True
        if other:
            raise RefusalError("not-allowed", f"{method} is not for this address.")
        raise RefusalError("not-found", "there is nothing at this address.")


def problem_of(error: RefusalError) -> bytes:
    """Return the body of the answer to a refused request."""
    return _encode(Problem(error.kind, error.message))


def headers_of(status: str, kind: str, body: bytes) -> list[tuple[str, str]]:
    """Return the headers of an answer of this content type."""
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    if status.startswith("401"):
        headers.append(("WWW-Authenticate", "Bearer"))
    if status.startswith("405"):
        headers.append(("Allow", "GET, HEAD, POST"))
    if status.startswith(("408", "429", "503")):
        headers.append(("Retry-After", RETRY_AFTER_S))
    return headers


def fields_of(query: str) -> dict[str, str]:
    """Return the fields of a query. Raises RefusalError for too many of them."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:
        raise RefusalError("invalid", f"the query has more than {MAX_QUERY_FIELDS} fields.") from None


def attempt_in(path: Mapping[str, str]) -> int | None:
    """Return the number of the attempt that a path names, if it names one."""
    text = path.get("attempt")
    return number_of(text) if text is not None else None


def _matched(segments: Sequence[str], words: Sequence[str]) -> dict[str, str] | None:
    path = {}
    for segment, word in zip(segments, words, strict=True):
        if segment.startswith("{"):
            path[segment[1:-1]] = word
        elif segment != word:
            return None
    return path


def refuse_nul(raw: bytes, *texts: str) -> None:
    """Raise RefusalError for a character U+0000, which no name has and PostgreSQL cannot store."""
    if _ESCAPED_NUL.search(raw) or any("\0" in text for text in texts):
        raise RefusalError("invalid", "the character U+0000 must not be in any text.")


def read_body(environ: Environ, limit: int) -> bytes:
    """The body of a request. Raises RefusalError when it is longer than `limit` bytes, without reading all of it."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > limit:
        raise RefusalError("too-large", f"the body has more than {limit} bytes.")
    body: bytes = environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise RefusalError("too-large", f"the body has more than {limit} bytes.")
    return body
