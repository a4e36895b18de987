"""The JSON Schemas of the documents that travel, for those who write jobs or read reports without this package."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from pilotext.model.job import Job
from pilotext.model.report import Report

SCHEMAS: dict[str, type] = {"job": Job, "report": Report}
"""What has a schema, and the records that it is made from."""


def schema_text(name: str) -> str:
    """The schema of `job` or `report`."""
    plain = msgspec.json.schema(SCHEMAS[name], ref_template="#/$defs/{name}")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A {name} of pilotext",
    }
    return json.dumps(head | with_clean_descriptions(plain), indent=2, ensure_ascii=False) + "\n"


def with_clean_descriptions(schema: Any) -> Any:
    """The schema with docstrings that are not indented, as Python has them from 3.13 on: one text on every Python."""
    if isinstance(schema, list):
        return [with_clean_descriptions(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    clean = {key: with_clean_descriptions(value) for key, value in schema.items()}
    if isinstance(text := clean.get("description"), str):
        clean["description"] = inspect.cleandoc(text)
    return clean
