"""Base of the controllers: who may call, how requests are decoded, how errors become problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Self, TypeAlias, TypeVar
from urllib.parse import parse_qsl

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from dmr import Controller, ResponseSpec
from dmr.components import BodyComponent, QueryComponent
from dmr.endpoint import Endpoint, Extras, ModifyAnyCallable, ModifyEndpoint
from dmr.metadata import EndpointMetadata
from dmr.negotiation import ResponseNegotiator
from dmr.openapi.objects import SecurityRequirement, SecurityScheme
from dmr.plugins.msgspec import MsgspecJsonParser, MsgspecJsonRenderer, MsgspecSerializer
from dmr.renderers import Renderer
from dmr.security import SyncAuth
from dmr.serializer import BaseSerializer, ContextField, ContextModel
from dmr.types import EMPTY
from typing_extensions import override

from pilotext.api.schemas.errors import Problem
from pilotext.errors import FieldError
from pilotext.serialization.json import from_json, from_plain, ready
from pilotext.server.api import auth
from pilotext.server.api.auth import Caller
from pilotext.server.api.problems import STATUS, problem_response, refusal_of, with_headers
from pilotext.server.front.guard import Role
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.transitions import Reason

KILO = 1024
MEGA = 1024 * KILO
MAX_QUERY_FIELDS = 100

T = TypeVar("T")

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_RENDERER = MsgspecJsonRenderer()


@dataclass(frozen=True)
class Access(Extras["Access"]):
    """Limits of an operation: the caller that it needs, and the largest body."""

    role: Role
    max_body_bytes: int = 64 * KILO

    @classmethod
    def build(cls, from_endpoint: Any, from_controller: Access, *_: Any) -> Access:
        return from_endpoint if isinstance(from_endpoint, Access) else from_controller


def operation(role: Role, *, max_body_bytes: int = 64 * KILO) -> ModifyAnyCallable:
    """Declare a method of a controller as an operation of the API; its docstring is the summary."""
    return _modify(status_code=HTTPStatus.OK, extras=Access(role, max_body_bytes), x_extensions={"x-role": role})


_modify = ModifyEndpoint(extras_cls=Access)


# ------------------------------------------------------------------------------------------------------------- requests


class _TokenAuth(SyncAuth):
    """Authentication by token, before anything of the request is decoded."""

    @property
    def www_authenticate_challenge(self) -> str:
        return "Bearer"

    def __call__(self, endpoint: Endpoint, controller: Controller[BaseSerializer]) -> Self:
        assert isinstance(controller, ApiController)
        role: Role = endpoint.metadata.extras.role
        request = controller.request
        header = request.META.get("HTTP_AUTHORIZATION", "")
        controller.token = fields_of(request).get("ticket", "") if role == "ticket" else auth.bearer(header)
        attempt = controller.kwargs.get("attempt")
        controller.caller = auth.admit(role, controller.token, auth.address_of(request.META), attempt)
        return self

    @override
    def security_schemes(self, metadata: EndpointMetadata, controller_cls: Any) -> dict[str, SecurityScheme]:  # type: ignore[override]  # no reference
        return {"token": SecurityScheme(type="http", scheme="bearer")}

    @override
    def security_requirements(self, metadata: EndpointMetadata, controller_cls: Any) -> list[SecurityRequirement]:
        return [] if metadata.extras.role in ("anyone", "ticket") else [{"token": []}]


class _QueryOfRecord(QueryComponent):
    """Query of an address as a record; a wrong field is named."""

    @override
    def provide_context_data(
        self, endpoint: Endpoint, controller: Controller[BaseSerializer], *, field_model: Any, default: Any = EMPTY
    ) -> Any:
        return decoded(lambda: from_plain(fields_of(controller.request), field_model, where="query", strict=False))


class _BodyOfRecord(BodyComponent):
    """Body as a record; a wrong field is named. The Content-Type does not matter, since all bodies are JSON."""

    @override
    def provide_context_data(
        self, endpoint: Endpoint, controller: Controller[BaseSerializer], *, field_model: Any, default: Any = EMPTY
    ) -> Any:
        raw = body_of(controller.request, endpoint.metadata.extras.max_body_bytes)
        refuse_nul(raw)
        return decoded(lambda: from_json(raw, field_model, where="body"))


class RawBody(BodyComponent):
    """Body as bytes, for a function that decodes it itself; documented as a record."""

    def __init__(self, record: type) -> None:
        super().__init__()
        self._record = record

    @override
    def provide_context_data(
        self, endpoint: Endpoint, controller: Controller[BaseSerializer], *, field_model: Any, default: Any = EMPTY
    ) -> Any:
        return body_of(controller.request, endpoint.metadata.extras.max_body_bytes)

    @override
    def get_schema(self, model: Any, *words: Any, **more: Any) -> Any:
        return super().get_schema(self._record, *words, **more)


Body: TypeAlias = Annotated[T, _BodyOfRecord()]
Query: TypeAlias = Annotated[T, _QueryOfRecord()]


def decoded(decode: Callable[[], T]) -> T:
    """Return what is decoded. Raises RefusalError with the path of the wrong field."""
    try:
        return decode()
    except (FieldError, RecursionError) as error:
        raise RefusalError("invalid", str(error)) from None


def fields_of(request: HttpRequest) -> dict[str, str]:
    """Return the fields of the query, the last of each name. Raises RefusalError."""
    try:
        fields = dict(parse_qsl(request.META["QUERY_STRING"], keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:
        raise RefusalError("invalid", f"the query has more than {MAX_QUERY_FIELDS} fields.") from None
    refuse_nul(b"", *fields.values())
    return fields


def body_of(request: HttpRequest, max_bytes: int) -> bytes:
    """Return the body. Raises RefusalError, without reading it, when it is longer than `max_bytes`."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > max_bytes:
        raise RefusalError("too-large", f"the body has more than {max_bytes} bytes.")
    return request.body


def refuse_nul(raw: bytes, *texts: str) -> None:
    """Raise RefusalError for a character U+0000, which no name has and PostgreSQL cannot store."""
    if _ESCAPED_NUL.search(raw) or any("\0" in text for text in texts):
        raise RefusalError("invalid", "the character U+0000 must not be in any text.")


# ---------------------------------------------------------------------------------------------------------- controllers


class _Serializer(MsgspecSerializer):
    """Records by msgspec; the types of parameters are prepared at import, before several threads need them."""

    @classmethod
    @override
    def build_context_model(cls, name: str, fields: Mapping[str, ContextField]) -> ContextModel:
        built = super().build_context_model(name, fields)
        ready(built.model)
        return built


class _JsonAlways(ResponseNegotiator):
    """The answer is JSON, whatever the header Accept says."""

    def __call__(self, request: HttpRequest) -> Renderer:
        request.__dmr_renderer__ = _RENDERER  # type: ignore[attr-defined]  # as a negotiator must
        return _RENDERER


class _Endpoint(Endpoint):
    response_negotiator_cls = _JsonAlways


class ApiController(Controller[_Serializer]):
    """Base of all controllers."""

    is_abstract = True
    endpoint_cls = _Endpoint
    extras = Access("manager")
    auth = (_TokenAuth(),)
    parsers = (MsgspecJsonParser(),)
    renderers = (_RENDERER,)
    error_model = Problem
    validate_responses = False
    semantic_responses = False
    responses: ClassVar = [
        ResponseSpec(Problem, status_code=status, description=status.phrase)
        for status in sorted({*STATUS.values()} - {HTTPStatus.INTERNAL_SERVER_ERROR})
    ]
    caller: Caller
    token: str = ""

    def reason(self, why: str) -> Reason:
        """Return the reason of a person's decision, for the audit trail."""
        return Reason(self.caller.who, why, "person")

    @override
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = super().dispatch(request, *args, **kwargs)
        assert isinstance(answer, HttpResponse)
        return with_headers(answer)

    @override
    def handle_error(self, endpoint: Endpoint, controller: Any, exc: Exception) -> HttpResponse:
        return problem_response(refusal_of(self.request, exc))

    @override
    def handle_method_not_allowed(self, method: str) -> HttpResponse:
        return problem_response(RefusalError("not-allowed", f"{method} is not for this address."))
