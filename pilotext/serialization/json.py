"""JSON or plain Python data to records, with errors that name the field and teach its mend."""

from __future__ import annotations

import re
import reprlib
import threading
from typing import Any, TypeVar

import msgspec

from pilotext.errors import FieldError, did_you_mean
from pilotext.redaction import Redactor, is_secret_name

T = TypeVar("T")

MAX_EXPLAINED_BYTES = 1024 * 1024
"""Of a larger document, an error does not quote the wrong value: it would all have to be built in memory for that."""

_ready: set[Any] = set()
_looking = threading.Lock()
_PLAIN = Redactor()
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]+)`")


def from_json(data: bytes | str, kind: type[T], *, where: str = "") -> T:
    """Decode one JSON document to a record of type `kind`.

    Raises FieldError with the path of the first wrong field; `where` names the document in it.
    """
    try:
        try:
            return msgspec.json.decode(data, type=ready(kind))  # builds nothing but what the record has fields for
        except msgspec.ValidationError as error:
            if len(data) > MAX_EXPLAINED_BYTES:
                raise _field_error(str(error), None, kind, where) from None
            plain = msgspec.json.decode(data)  # behind the first wrong field there may be no JSON
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FieldError("", f"this is not a JSON document: {error}", where=where) from None
    return from_plain(plain, kind, where=where)


def from_plain(data: Any, kind: type[T], *, where: str = "", strict: bool = True) -> T:
    """Turn dictionaries and lists, as JSON and YAML give them, into a record of type `kind`.

    Not strict, a text may stand for a number, as in the query of an address.
    """
    try:
        return msgspec.convert(data, ready(kind), strict=strict)
    except msgspec.ValidationError as error:
        raise _field_error(str(error), data, kind, where) from None


def ready(kind: T) -> T:
    """The type, once all is there that msgspec needs to know of it; before it is decoded to, in any thread.

    msgspec looks at a record's fields when it is first asked for the record, and runs Python for that. Another thread
    that has its turn in between would decode with what is there so far, and crash (msgspec 0.22: segmentation fault).
    """
    if kind not in _ready:
        with _looking:
            msgspec.json.Decoder(kind)
            _ready.add(kind)
    return kind


def _field_error(text: str, data: Any, kind: Any, where: str) -> FieldError:
    """msgspec's message, said as: which field, what is wrong with it, what to do."""
    found = _AT.match(text)
    what = found["what"] if found else text
    path = ((found["path"] if found else "") or "").removeprefix("$").removeprefix(".")
    if missing := _MISSING.search(what):
        return FieldError(_join(path, missing["field"]), "this field is missing.", where=where)
    if unknown := _UNKNOWN.search(what):
        field = unknown["field"]
        remedy = "Remove it, or use a version of pilotext that knows it."
        advice = did_you_mean(field, _fields_at(kind, path), otherwise=remedy, quoted="`{}`")
        return FieldError(_join(path, field), "there is no such field.", where=where, advice=advice)
    value = _value_at(data, path)
    if words := [word for word in _words_at(kind, path) if what.startswith("Invalid enum value")]:
        advice = did_you_mean(str(value), map(str, words))
        known = ", ".join(str(word) for word in words)
        return FieldError(path, f"{_shown(value, path)} is none of: {known}.", where=where, advice=advice)
    if listed := _words_of_list(kind, path) if isinstance(value, str) else ():
        wrong = next((word for word in value.split(",") if word not in listed), value)
        advice = did_you_mean(wrong, listed)
        return FieldError(path, f"{_shown(wrong, path)} is none of: {', '.join(listed)}.", where=where, advice=advice)
    return FieldError(path, f"{what[:1].lower()}{what[1:]}; found {_shown(value, path)}.", where=where)


def _shown(value: Any, path: str) -> str:
    """A value as a sentence can hold it: short, and never a secret."""
    return "a secret" if is_secret_name(path) else _PLAIN.text(reprlib.repr(value))


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _steps(path: str) -> list[str]:
    return [step for step in re.split(r"[.\[\]]+", path) if step]


def _value_at(data: Any, path: str) -> Any:
    for step in _steps(path):
        try:
            data = data[int(step)] if isinstance(data, list) else data[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return data
    return data


def _type_at(kind: Any, path: str) -> Any:
    """The type, as msgspec describes it, that `path` leads to inside `kind`; None where it leads nowhere."""
    here: Any = msgspec.inspect.type_info(kind)
    for step in _steps(path):
        if step.isdigit() or step == "...":
            continue
        record = _record_in(here)
        field = next((f for f in record.fields if f.encode_name == step), None) if record else None
        if field is None:
            return None
        here = field.type
    return here


def _fields_at(kind: Any, path: str) -> list[str]:
    record = _record_in(_type_at(kind, path))
    return [] if record is None else [field.encode_name for field in record.fields]


def _words_at(kind: Any, path: str) -> tuple[Any, ...]:
    """The words that are allowed at `path`, if it takes one of a few."""
    here = _type_at(kind, path)
    options = here.types if isinstance(here, msgspec.inspect.UnionType) else (here,)
    return next((option.values for option in options if isinstance(option, msgspec.inspect.LiteralType)), ())


def _words_of_list(kind: Any, path: str) -> tuple[str, ...]:
    """The words that may stand, separated by commas, in the text at `path`; they are in its JSON Schema."""
    here = _type_at(kind, path)
    options = here.types if isinstance(here, msgspec.inspect.UnionType) else (here,)
    schemas = (option.extra_json_schema or {} for option in options if isinstance(option, msgspec.inspect.Metadata))
    return next((schema["x-words"] for schema in schemas if "x-words" in schema), ())


def _record_in(info: Any) -> Any:
    """The record type inside optional, list, tuple and mapping types, or None."""
    if isinstance(info, msgspec.inspect.StructType):
        return info
    for inner in ("item_type", "value_type"):
        if hasattr(info, inner):
            return _record_in(getattr(info, inner))
    if isinstance(info, msgspec.inspect.UnionType):
        return next((found for option in info.types if (found := _record_in(option))), None)
    if isinstance(info, msgspec.inspect.TupleType):
        return next((found for option in info.item_types if (found := _record_in(option))), None)
    return None
