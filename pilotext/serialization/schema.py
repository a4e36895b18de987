"""The JSON Schemas of the documents that travel, for those who write jobs or read reports without this package."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from pilotext.model.job import Job
from pilotext.model.report import Report

SCHEMAS: dict[str, type] = {"job": Job, "report": Report}
"""Documents with a schema, and the records that they are made from."""


_NULL = {"type": "null"}


def schema_text(name: str) -> str:
    """Return the schema of `job` or `report`."""
    plain = described_schema(SCHEMAS[name])
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A {name} of pilotext",
    }
    return json.dumps(head | same_everywhere(plain), indent=2, ensure_ascii=False) + "\n"


def described_schema(record: type) -> dict[str, Any]:
    """Return the schema of a record; each field has its note (the text below it in the class) as description."""
    plain = msgspec.json.schema(record, ref_template="#/$defs/{name}")
    classes = {each.__name__: each for each in _records_in(msgspec.inspect.type_info(record), set())}
    for name, schema in plain.get("$defs", {}).items():
        properties = schema.get("properties", {})
        for field, note in field_notes(classes[name]).items() if name in classes else ():
            properties[field] = _with_description(properties[field], note)
    return plain


def field_notes(record: type) -> dict[str, str]:
    """Return the notes of a record's fields by their names in documents, those of its bases included."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(record)}
    notes: dict[str, str] = {}
    for base in reversed(record.__mro__[:-1]):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            notes |= {names[field]: note for field, note in _notes_in(base) if field in names}
    return notes


def _notes_in(record: type) -> Iterator[tuple[str, str]]:
    """Yield the fields of one class with the text below each."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for field, below in pairwise(body):
        note = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(note, str):
            yield field.target.id, inspect.cleandoc(note)


def _with_description(schema: dict[str, Any], note: str) -> dict[str, Any]:
    if "$ref" in schema:  # editors show the description of the record that is referred to, not one beside it
        return {"allOf": [schema], "description": note}
    return {**schema, "description": note}


def _records_in(found: Any, seen: set[type]) -> Iterator[type]:
    """Yield every record within a type."""
    if isinstance(found, msgspec.inspect.StructType):
        if found.cls in seen:
            return
        seen.add(found.cls)
        yield found.cls
        for field in found.fields:
            yield from _records_in(field.type, seen)
        return
    for name in ("types", "item_types"):
        for inner in getattr(found, name, ()):
            yield from _records_in(inner, seen)
    for name in ("item_type", "key_type", "value_type", "type"):
        if (inner := getattr(found, name, None)) is not None:
            yield from _records_in(inner, seen)


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
