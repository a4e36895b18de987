"""The whole server as one WSGI application: the doors first, then the pages."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse

from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections

from pilotext.api.schemas.health import Health
from pilotext.server.api import auth, metrics, openapi
from pilotext.server.api.door import STATUS, Door, Environ, headers_of, problem_of
from pilotext.server.api.endpoint import KILO, Call, Endpoint
from pilotext.server.api.panda.door import PATHS as PANDA_PATHS
from pilotext.server.api.panda.door import PandaDoor
from pilotext.server.api.panda.door import policy_of as panda_policy_of
from pilotext.server.api.panda.door import refused as panda_refused
from pilotext.server.api.v1 import access, adjusting, agents, managers, managing, products
from pilotext.server.front.guard import Policy, Response
from pilotext.server.production.health import health as health_of_parts
from pilotext.server.production.refusal import RefusalError

MAX_FORM_BYTES = 64 * KILO
"""Of a form of the pages."""


def health(_call: Call) -> Health:
    """How the server is. Raises RefusalError when its database does not answer: nothing works without it."""
    found = health_of_parts()
    if found.parts["database"].status == "failed":
        raise RefusalError("unavailable", found.parts["database"].what)
    return found


def api_document(_call: Call) -> Any:
    return _document()


@functools.cache
def _document() -> dict[str, Any]:
    return openapi.document(V1)  # for everybody, and it takes a tenth of a second


V1 = (
    *agents.ENDPOINTS,
    *managers.ENDPOINTS,
    *managing.ENDPOINTS,
    *products.ENDPOINTS,
    *adjusting.ENDPOINTS,
    *access.ENDPOINTS,
    Endpoint(
        "GET",
        "/health",
        "anyone",
        Health,
        health,
        "How the server is, part by part.",
    ),
)
DOCUMENT = Endpoint("GET", "/api/v1/openapi.json", "anyone", dict, api_document, "This document.")


class Application:
    """The WSGI application, and what the front must know of it (`front.guard.Guard`)."""

    def __init__(self) -> None:
        self._door = Door((*V1, DOCUMENT))
        self._panda = PandaDoor()
        self._pages = WSGIHandler()
        self._metrics = metrics.Page()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(PANDA_PATHS):
            return self._panda(environ, start_response)
        if path.startswith("/api/") or path == "/health":
            return self._door(environ, start_response)
        if path == "/metrics":
            return self._metrics(environ, start_response)
        return self._pages(environ, start_response)

    def policy_of(self, method: str, path: str) -> Policy:
        if path.startswith(PANDA_PATHS):
            return panda_policy_of(path)
        if path.startswith("/api/"):
            return self._door.policy_of(method, path)
        return Policy("anyone", MAX_FORM_BYTES)

    def screen(self, policy: Policy, token: str, address: str) -> bool:
        return auth.screen(policy.role, token, address)

    def prove(self, policy: Policy, token: str, address: str) -> None:
        close_old_connections()
        auth.admit(policy.role, token, address, policy.attempt)
        close_old_connections()

    def refusal(self, path: str, error: RefusalError) -> Response:
        metrics.count("front", STATUS[error.kind][:3], 0.0)
        if path.startswith(PANDA_PATHS):
            status, kind, body = panda_refused(error)
        else:
            status, kind, body = STATUS[error.kind], "application/json", problem_of(error)
        return Response(int(status[:3]), headers_of(status, kind, body), body)
