"""PanDA's legacy protocol as a WSGI application, over the same machinery as the other door."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse

import msgspec
from django.db import OperationalError, close_old_connections

from pilotext.server.api import auth, metrics
from pilotext.server.api.door import NO_DATABASE, STATUS, Environ, fields_of, headers_of, read_body
from pilotext.server.api.endpoint import KILO, MEGA, Caller
from pilotext.server.api.panda import files
from pilotext.server.api.panda.encoding import Sent, decode
from pilotext.server.api.panda.pilots import FUNCTIONS, STATUS_CODE
from pilotext.server.front.guard import Policy
from pilotext.server.production.refusal import RefusalError

log = logging.getLogger("pilotext.panda")

PATHS = ("/server/panda/", "/cache/", "/trf/")
LARGEST = 2 * MEGA
"""Of a request, packed or not: an update with the end of a payload's output and its metadata."""

SMALL = 8 * KILO
"""Of a request that needs no token."""

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_TRY_AGAIN = ("too-many", "too-slow", "busy", "internal")
"""A pilot takes every JSON object as success of an update, whatever it says; what it cannot read, it sends again."""


class PandaDoor:
    """What a pilot calls its PanDA server."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        close_old_connections()
        name, status, kind, body = _answer(environ)
        close_old_connections()
        metrics.count(name, status[:3], time.perf_counter() - began)
        start_response(status, headers_of(status, kind, body))
        return [body]


def policy_of(path: str) -> Policy:
    """Return the limits of a request at one of PATHS. Raises RefusalError for a function that there is not."""
    verb = path.removeprefix("/server/panda/")
    if not path.startswith("/server/panda/") or verb == "isAlive":
        return Policy("anyone", SMALL)
    _function(verb)
    return Policy("agent", LARGEST)


def refused(error: RefusalError) -> tuple[str, str, bytes]:
    """Return status, content type and body of the answer to a refused request."""
    if error.kind in _TRY_AGAIN:
        return STATUS[error.kind], _TEXT, error.message.encode()
    answer: dict[str, Any] = {"StatusCode": STATUS_CODE[error.kind], "errorDialog": error.message}
    return STATUS[error.kind], _JSON, msgspec.json.encode(answer)


def _answer(environ: Environ) -> tuple[str, str, str, bytes]:
    """What was asked for, as metrics count it; status, content type and body of the answer."""
    path = environ.get("PATH_INFO", "")
    verb = path.removeprefix("/server/panda/")
    name = f"/server/panda/{verb}" if verb in FUNCTIONS else "/server/panda/"
    try:
        if verb == "isAlive":
            return name, "200 OK", _TEXT, b"alive=yes"
        if not path.startswith("/server/panda/"):
            return "/cache/", "200 OK", *files.find(path)
        return name, "200 OK", _JSON, msgspec.json.encode(_called(verb, environ))
    except RefusalError as error:
        return name, *refused(error)
    except OperationalError:
        log.exception("%s failed", name)
        return name, *refused(RefusalError("busy", NO_DATABASE))
    except Exception:  # the boundary
        log.exception("%s failed", name)
        return name, STATUS["internal"], _TEXT, b"this is a mistake of the server; its log has the details."


def _called(verb: str, environ: Environ) -> Any:
    function = _function(verb)
    caller = auth.admit("agent", auth.bearer(environ.get("HTTP_AUTHORIZATION", "")), auth.address_of(environ))
    return function(_sent(environ), caller)


def _function(verb: str) -> Callable[[Sent, Caller], Any]:
    function = FUNCTIONS.get(verb)
    if function is None:
        raise RefusalError("not-found", f"there is nothing called {verb!r:.80} here.")
    return function


def _sent(environ: Environ) -> Sent:
    """The fields of the body; a pilot that cannot write its file for curl puts them into the address."""
    raw = read_body(environ, LARGEST)
    return {**fields_of(environ.get("QUERY_STRING", "")), **decode(environ.get("CONTENT_TYPE", ""), raw, LARGEST)}
