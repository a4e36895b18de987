"""PanDA's legacy pilot protocol: forms, gzipped JSON and files, with answers of PanDA's own form."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from pilotext.server.api import auth
from pilotext.server.api.auth import Caller
from pilotext.server.api.base import KILO, MEGA, body_of, fields_of
from pilotext.server.api.panda import files
from pilotext.server.api.panda.encoding import Sent, decode
from pilotext.server.api.panda.handlers import FUNCTIONS, STATUS_CODE
from pilotext.server.api.problems import JSON, STATUS, refusal_of, response
from pilotext.server.front.guard import BodyPolicy
from pilotext.server.production.refusal import RefusalError

PANDA_PATHS = ("/server/panda/", "/cache/", "/trf/")
MAX_BODY_BYTES = 2 * MEGA
"""Largest request, packed or not: an update with the end of a payload's output and its metadata."""

MAX_UNPROVED_BYTES = 8 * KILO
"""Largest request that needs no token."""

_TEXT = "text/plain; charset=utf-8"
_TRY_AGAIN = ("too-many", "too-slow", "busy", "internal")
"""A pilot takes every JSON object as success of an update, whatever it says; what it cannot read, it sends again."""

Function = Callable[[Sent, Caller], Any]
View = Callable[..., HttpResponse]


def panda_policy_of(path_: str) -> BodyPolicy:
    """Return the limits of a request at one of PANDA_PATHS. Raises RefusalError for an unknown function."""
    verb = path_.removeprefix("/server/panda/")
    if not path_.startswith("/server/panda/") or verb == "isAlive":
        return BodyPolicy("anyone", MAX_UNPROVED_BYTES)
    if verb not in FUNCTIONS:
        raise no_function(verb)
    return BodyPolicy("agent", MAX_BODY_BYTES)


def no_function(verb: str) -> RefusalError:
    return RefusalError("not-found", f"there is nothing called {verb!r:.80} here.")


def panda_refusal(error: RefusalError) -> HttpResponse:
    """Return the answer to a refused request."""
    if error.kind in _TRY_AGAIN:
        return response(STATUS[error.kind], _TEXT, error.message.encode())
    answer: dict[str, Any] = {"StatusCode": STATUS_CODE[error.kind], "errorDialog": error.message}
    return response(STATUS[error.kind], JSON, msgspec.json.encode(answer))


def _answering(view: View) -> View:
    """Turn the exceptions of a view into PanDA's answers."""

    def answered(request: HttpRequest, *words: Any, **more: Any) -> HttpResponse:
        try:
            return view(request, *words, **more)
        except Exception as error:  # noqa: BLE001  the boundary; what is not expected is logged
            return panda_refusal(refusal_of(request, error))

    answered.csrf_exempt = True  # type: ignore[attr-defined]  # as Django's decorator does; there are no cookies here
    return answered


@_answering
def call(request: HttpRequest, function: Function) -> HttpResponse:
    """Answer one of the FUNCTIONS."""
    token = auth.bearer(request.META.get("HTTP_AUTHORIZATION", ""))
    caller = auth.admit("agent", token, auth.address_of(request.META))
    return response(HTTPStatus.OK, JSON, msgspec.json.encode(function(_sent(request), caller)))


@_answering
def alive(_request: HttpRequest) -> HttpResponse:
    """Say that the server is there."""
    return response(HTTPStatus.OK, _TEXT, b"alive=yes")


@_answering
def file(_request: HttpRequest, find: Callable[..., tuple[str, bytes]], **names: str) -> HttpResponse:
    """Answer with a file of the queues, or with our transformation."""
    return response(HTTPStatus.OK, *find(**names))


def _sent(request: HttpRequest) -> Sent:
    """Return the fields of the body; a pilot that cannot write its file for curl puts them into the address."""
    raw = body_of(request, MAX_BODY_BYTES)
    return {**fields_of(request), **decode(request.META.get("CONTENT_TYPE", ""), raw, MAX_BODY_BYTES)}


urlpatterns: list[URLPattern] = [
    *(path(f"server/panda/{name}", call, {"function": function}) for name, function in FUNCTIONS.items()),
    path("server/panda/isAlive", alive),
    *(path(route, file, {"find": find}) for route, find in files.ROUTES.items()),
]
