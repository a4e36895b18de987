"""Addresses of PanDA's pilot protocols: forms, gzipped JSON and files, with answers of PanDA's own forms."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from pilotext.server.api import auth
from pilotext.server.api.auth import Caller
from pilotext.server.api.base import KILO, MAX_QUERY_FIELDS, MEGA, body_of, fields_of
from pilotext.server.api.panda import files, v1
from pilotext.server.api.panda.encoding import Sent, decode
from pilotext.server.api.panda.handlers import FUNCTIONS, STATUS_CODE, TRY_AGAIN
from pilotext.server.api.problems import JSON, STATUS, refusal_of, response
from pilotext.server.front.guard import BodyPolicy, Role
from pilotext.server.production.refusal import RefusalError

_LEGACY = "/server/panda/"
_V1 = "/api/v1/"
_V1_PATHS = tuple(sorted({f"{_V1}{name.partition('/')[0]}/" for name in v1.FUNCTIONS}))
PANDA_PATHS = (_LEGACY, "/cache/", "/trf/", *_V1_PATHS)
MAX_BODY_BYTES = 2 * MEGA
"""Largest request, packed or not: an update with the end of a payload's output and its metadata."""

MAX_UNPROVED_BYTES = 8 * KILO
"""Largest request that needs no token."""

_TEXT = "text/plain; charset=utf-8"

Function = Callable[[Sent, Caller], Any]
View = Callable[..., HttpResponse]


def panda_policy_of(path_: str) -> BodyPolicy:
    """Return the limits of a request at one of PANDA_PATHS. Raises RefusalError for an unknown function."""
    if path_.startswith(_V1_PATHS):
        return _v1_policy_of(path_)
    verb = path_.removeprefix(_LEGACY)
    if not path_.startswith(_LEGACY) or verb == "isAlive":
        return BodyPolicy("anyone", MAX_UNPROVED_BYTES)
    if verb not in FUNCTIONS:
        raise no_function(verb)
    return BodyPolicy("agent", MAX_BODY_BYTES)


def _v1_policy_of(path_: str) -> BodyPolicy:
    name = path_.removeprefix(_V1)
    function = v1.FUNCTIONS.get(name)
    if function is None:
        raise no_function(name)
    return BodyPolicy(function.role, MAX_BODY_BYTES if function.method == "POST" else MAX_UNPROVED_BYTES)


def no_function(verb: str) -> RefusalError:
    return RefusalError("not-found", f"there is nothing called {verb!r:.80} here.")


def panda_refusal(path_: str, error: RefusalError) -> HttpResponse:
    """Return the answer to a refused request, in the form of the protocol that has this address."""
    if error.kind in TRY_AGAIN:
        return response(STATUS[error.kind], _TEXT, error.message.encode())
    answer: Any = {"StatusCode": STATUS_CODE[error.kind], "errorDialog": error.message}
    if path_.startswith(_V1_PATHS):
        answer = v1.Envelope(False, error.message)
    return response(STATUS[error.kind], JSON, msgspec.json.encode(answer))


def _answering(view: View) -> View:
    """Turn the exceptions of a view into PanDA's answers."""

    def answered(request: HttpRequest, *words: Any, **more: Any) -> HttpResponse:
        try:
            return view(request, *words, **more)
        except Exception as error:  # noqa: BLE001  the boundary; what is not expected is logged
            return panda_refusal(request.path, refusal_of(request, error))

    answered.csrf_exempt = True  # type: ignore[attr-defined]  # as Django's decorator does; there are no cookies here
    return answered


@_answering
def call(request: HttpRequest, function: Function) -> HttpResponse:
    """Answer one of the FUNCTIONS."""
    caller = _caller(request, "agent")
    return response(HTTPStatus.OK, JSON, msgspec.json.encode(function(_sent(request), caller)))


@_answering
def call_v1(request: HttpRequest, function: v1.Function) -> HttpResponse:
    """Answer one of the functions of servers since 1.0; a refusal of the function itself is an answer like others."""
    caller = _caller(request, function.role)
    sent = _sent(request) if request.method == "POST" else _queried(request)
    answer = function.reply(request.method or "", sent, caller)
    return response(HTTPStatus.OK, JSON, msgspec.json.encode(answer))


@_answering
def alive(_request: HttpRequest) -> HttpResponse:
    """Say that the server is there."""
    return response(HTTPStatus.OK, _TEXT, b"alive=yes")


@_answering
def file(_request: HttpRequest, find: Callable[..., tuple[str, bytes]], **names: str) -> HttpResponse:
    """Answer with a file of the queues, or with our transformation."""
    return response(HTTPStatus.OK, *find(**names))


def _caller(request: HttpRequest, role: Role) -> Caller:
    token = auth.bearer(request.META.get("HTTP_AUTHORIZATION", ""))
    return auth.admit(role, token, auth.address_of(request.META))


def _queried(request: HttpRequest) -> Sent:
    """Return the fields of the address; one that stands there several times is a list."""
    try:
        found = parse_qs(request.META["QUERY_STRING"], keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise RefusalError("invalid", f"the query has more than {MAX_QUERY_FIELDS} fields.") from None
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _sent(request: HttpRequest) -> Sent:
    """Return the fields of the body; a pilot that cannot write its file for curl puts them into the address."""
    raw = body_of(request, MAX_BODY_BYTES)
    return {**fields_of(request), **decode(request.META.get("CONTENT_TYPE", ""), raw, MAX_BODY_BYTES)}


urlpatterns: list[URLPattern] = [
    *(path(f"server/panda/{name}", call, {"function": function}) for name, function in FUNCTIONS.items()),
    path("server/panda/isAlive", alive),
    *(path(f"api/v1/{name}", call_v1, {"function": function}) for name, function in v1.FUNCTIONS.items()),
    *(path(route, file, {"find": find}) for route, find in files.ROUTES.items()),
]
