"""The JSON Schemas of the documents that travel, for those who write jobs or read reports without this package."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from pilotext.model.job import Job
from pilotext.model.report import Report

SCHEMAS: dict[str, type] = {"job": Job, "report": Report}
"""Documents with a schema, and the records that they are made from."""


_NULL = {"type": "null"}


def schema_text(name: str) -> str:
    """The schema of `job` or `report`."""
    plain = msgspec.json.schema(SCHEMAS[name], ref_template="#/$defs/{name}")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A {name} of pilotext",
    }
    return json.dumps(head | same_everywhere(plain), indent=2, ensure_ascii=False) + "\n"


def same_everywhere(schema: Any) -> Any:
    """Return the schema as one text for every Python and msgspec.

    Docstrings lose their indentation, as from Python 3.13 on. `null` is the last alternative: releases of msgspec
    disagree about its place.
    """
    if isinstance(schema, list):
        return [same_everywhere(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    clean = {key: same_everywhere(value) for key, value in schema.items()}
    if isinstance(text := clean.get("description"), str):
        clean["description"] = inspect.cleandoc(text)
    if isinstance(alternatives := clean.get("anyOf"), list):
        clean["anyOf"] = sorted(alternatives, key=_NULL.__eq__)
    return clean
