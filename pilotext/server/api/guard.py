"""Knowledge of the URL configuration that the HTTP front needs before it reads a body (`front.guard.Guard`)."""

from __future__ import annotations

import functools
import re

from django.db import close_old_connections
from django.urls import Resolver404, resolve

from pilotext.server.api import auth, metrics
from pilotext.server.api.base import KILO, Access, ApiController
from pilotext.server.api.panda.urls import PANDA_PATHS, panda_policy_of, panda_refusal
from pilotext.server.api.problems import problem_response
from pilotext.server.front.guard import BodyPolicy, Response
from pilotext.server.production.refusal import RefusalError

_PAGES = Access("anyone", 64 * KILO)
"""Limits of the pages and their forms."""

_NUMBER = re.compile(r"(?<=/)[0-9]+")
_ATTEMPT = re.compile(r"/api/v1/attempts/([0-9]{1,18})/")


class UrlGuard:
    """Limits of a request by what answers at its address."""

    def policy_of(self, method: str, path: str) -> BodyPolicy:
        if path.startswith(PANDA_PATHS):
            return panda_policy_of(path)
        access = _access(method, _NUMBER.sub("0", path))
        attempt = _ATTEMPT.match(path)
        return BodyPolicy(access.role, access.max_body_bytes, int(attempt[1]) if attempt else None)

    def screen(self, policy: BodyPolicy, token: str, address: str) -> bool:
        return auth.screen(policy.role, token, address)

    def prove(self, policy: BodyPolicy, token: str, address: str) -> None:
        close_old_connections()
        auth.admit(policy.role, token, address, policy.attempt)
        close_old_connections()

    def refusal(self, path: str, error: RefusalError) -> Response:
        answer = panda_refusal(path, error) if path.startswith(PANDA_PATHS) else problem_response(error)
        metrics.count("front", answer.status_code, 0.0)
        return Response(answer.status_code, list(answer.headers.items()), answer.content)


@functools.lru_cache(maxsize=1000)
def _access(method: str, path: str) -> Access:
    """Return who may send what to an address; all numbers of rows are the same one here."""
    try:
        found = resolve(path)
    except Resolver404:
        if path.startswith("/api/"):
            raise RefusalError("not-found", "there is nothing at this address.") from None
        return _PAGES
    controller = getattr(found.func, "view_class", None)
    if controller is None or not issubclass(controller, ApiController):
        return _PAGES
    endpoint = controller.api_endpoints.get(method)
    if endpoint is None:
        raise RefusalError("not-allowed", f"{method} is not for this address.")
    access: Access = endpoint.metadata.extras
    return access if method == "POST" else Access(access.role, 0)
