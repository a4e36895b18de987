"""Requests to the whole application, as a WSGI server would bring them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from pilotext.server.web import Application


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
