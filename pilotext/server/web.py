"""The whole server as one WSGI application: the doors first, then the pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse

from django.core.handlers.wsgi import WSGIHandler

from pilotext.messages import Health
from pilotext.server.api import metrics, openapi
from pilotext.server.api.door import Door, Environ
from pilotext.server.api.endpoint import Call, Endpoint
from pilotext.server.api.panda.door import PATHS as PANDA_PATHS
from pilotext.server.api.panda.door import PandaDoor
from pilotext.server.api.v1 import access, adjusting, agents, managers, managing, products
from pilotext.server.production.health import health as health_of_parts
from pilotext.server.production.refusal import RefusalError


def health(_call: Call) -> Health:
    """How the server is. Raises RefusalError when its database does not answer: nothing works without it."""
    found = health_of_parts()
    if found.parts["database"].status == "failed":
        raise RefusalError("unavailable", found.parts["database"].what)
    return found


def api_document(_call: Call) -> Any:
    return openapi.document(V1)


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
    """What a WSGI server serves."""

    def __init__(self) -> None:
        self._door = Door((*V1, DOCUMENT))
        self._panda = PandaDoor()
        self._pages = WSGIHandler()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(PANDA_PATHS):
            return self._panda(environ, start_response)
        if path.startswith("/api/") or path == "/health":
            return self._door(environ, start_response)
        if path == "/metrics":
            body = metrics.render().encode()
            kind = "text/plain; version=0.0.4; charset=utf-8"
            start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
            return [body]
        return self._pages(environ, start_response)
