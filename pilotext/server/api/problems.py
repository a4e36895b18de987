"""Refusals and mistakes as HTTP answers."""

from __future__ import annotations

import logging
from http import HTTPStatus

import msgspec
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse

from pilotext.api.schemas.errors import Problem
from pilotext.server.production.refusal import RefusalError

log = logging.getLogger("pilotext.api")

STATUS = {
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not-found": HTTPStatus.NOT_FOUND,
    "not-allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "conflict": HTTPStatus.CONFLICT,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too-many": HTTPStatus.TOO_MANY_REQUESTS,
    "too-slow": HTTPStatus.REQUEST_TIMEOUT,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
RETRY_AFTER_S = "5"
_MORE_HEADERS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "Bearer"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Allow", "GET, HEAD, POST"),
    HTTPStatus.REQUEST_TIMEOUT: ("Retry-After", RETRY_AFTER_S),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", RETRY_AFTER_S),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", RETRY_AFTER_S),
}
JSON = "application/json"


def refusal_of(request: HttpRequest, error: Exception) -> RefusalError:
    """Return the refusal that an exception of a view stands for; any that is not expected is logged."""
    if isinstance(error, RefusalError):
        return error
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    if isinstance(error, OperationalError):
        return RefusalError("busy", "the database does not answer, or takes no further connections; try again later.")
    return RefusalError("internal", "the server failed; its log has the details.")


def problem_response(error: RefusalError) -> HttpResponse:
    """Return the answer to a refused request of the API."""
    return response(STATUS[error.kind], JSON, msgspec.json.encode(Problem(error.kind, error.message)))


def response(status: HTTPStatus, content_type: str, body: bytes) -> HttpResponse:
    """Return an answer with the headers that its status needs."""
    answer = HttpResponse(body, content_type=content_type, status=status)
    return with_headers(answer)


def with_headers(answer: HttpResponse) -> HttpResponse:
    """Add the headers that every answer of the API has, and those of its status."""
    answer.headers["Content-Length"] = str(len(answer.content))
    answer.headers["Cache-Control"] = "no-store"
    if more := _MORE_HEADERS.get(HTTPStatus(answer.status_code)):
        name, value = more
        answer.headers.setdefault(name, value)
    return answer
