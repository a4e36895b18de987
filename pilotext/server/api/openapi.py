"""The OpenAPI document, made of the endpoints and their records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pilotext import __version__
from pilotext.api.schemas.errors import Problem
from pilotext.serialization.schema import with_clean_descriptions
from pilotext.server.api.endpoint import Endpoint

_REF = "#/components/schemas/{name}"
_REFUSALS = {
    "401": "no token, or not a good one",
    "403": "not for this caller",
    "404": "not there",
    "405": "wrong method",
}
_REFUSALS |= {"408": "the body came too slowly", "409": "not in this state", "413": "too large"}
_REFUSALS |= {"422": "not understood", "429": "too many", "503": "too busy, or the database does not answer"}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document for these endpoints."""
    records = [kind for each in endpoints for kind in (each.body, each.answer, each.query) if kind is not None]
    schemas, components = msgspec.json.schema_components([*records, Problem], ref_template=_REF)
    schema_of = dict(zip([*records, Problem], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pilotext",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": with_clean_descriptions(components),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, schema_of: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    refused = {"application/json": {"schema": schema_of[Problem]}}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.function.__name__,
        "parameters": [*_in_path(endpoint), *_in_query(endpoint, components)],
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": schema_of[endpoint.answer]}}},
            **{status: {"description": text, "content": refused} for status, text in _REFUSALS.items()},
        },
        "security": [] if endpoint.role in ("anyone", "ticket") else [{"token": []}],
        "x-role": endpoint.role,
    }
    if endpoint.body is not None:
        body = {"application/json": {"schema": schema_of[endpoint.body]}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _in_path(endpoint: Endpoint) -> list[dict[str, Any]]:
    names = [segment[1:-1] for segment in endpoint.segments if segment.startswith("{")]
    number = {"type": "integer", "minimum": 0}
    return [{"name": name, "in": "path", "required": True, "schema": number} for name in names]


def _in_query(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    record = components[endpoint.query.__name__]
    needed = record.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": schema}
        for name, schema in record["properties"].items()
    ]
