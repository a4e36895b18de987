"""The JSON Schemas of the documents that travel, for those who write jobs or read reports without this package."""

from __future__ import annotations

import json

import msgspec

from pilotext.model import Job, Report

SCHEMAS: dict[str, type] = {"job": Job, "report": Report}
"""What has a schema, and the records that it is made from."""


def schema_text(name: str) -> str:
    """The schema of `job` or `report`."""
    plain = msgspec.json.schema(SCHEMAS[name], ref_template="#/$defs/{name}")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A {name} of pilotext",
    }
    return json.dumps(head | plain, indent=2, ensure_ascii=False) + "\n"
