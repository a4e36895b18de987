"""Requests to the whole application, as a WSGI server would bring them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from django.core.handlers.wsgi import WSGIHandler as Application


@dataclass(frozen=True)
class Operation:
    """An operation of the OpenAPI document; `takes` says whether it has a body or parameters."""

    method: str
    path: str
    role: str
    takes: bool


def operations() -> list[Operation]:
    """All operations of the API."""
    from pilotext.server.api.urls import schema

    document: dict[str, Any] = json.loads(json.dumps(schema().convert(skip_validation=True)))
    return [
        Operation(method.upper(), path, each["x-role"], bool(each.get("parameters") or "requestBody" in each))
        for path, methods in document["paths"].items()
        for method, each in methods.items()
    ]


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    application: Application,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    token: str = "",
    address: str = "127.0.0.1",
    **headers: str,
) -> Answered:
    """One request; headers by their WSGI names."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": address,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        **({"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}),
        **headers,
    }
    told: list[tuple[str, list[tuple[str, str]]]] = []
    answer = b"".join(application(environ, lambda status, headers, _=None: told.append((status, headers))))  # type: ignore[arg-type]
    ((status, answered),) = told
    return Answered(int(status[:3]), dict(answered), answer)
