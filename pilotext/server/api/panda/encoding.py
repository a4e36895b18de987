"""Encodings of pilots' requests: a form by curl from old pilots, undeclared gzipped JSON from new ones."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from pilotext.errors import FieldError
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.sanitize import decoded

Sent = Mapping[str, Any]
"""The fields of a request; old pilots send every value as text."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS
MAX_FIELDS = 500


def decode(content_type: str, raw: bytes, largest: int) -> Sent:
    """The fields of a body. Raises RefusalError if it cannot be read, or unpacks to more than `largest` bytes."""
    if raw.startswith(_GZIP_MAGIC):
        raw = _unpacked(raw, largest)
    if "json" in content_type:
        return _fields(raw or b"{}")
    try:
        return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise RefusalError("invalid", f"this is not a form: {error}.") from None


def _unpacked(raw: bytes, largest: int) -> bytes:
    unpack = zlib.decompressobj(_GZIP)
    try:
        body = unpack.decompress(raw, largest + 1)
    except zlib.error:
        raise RefusalError("invalid", "this begins like gzip, but is damaged.") from None
    if len(body) > largest:
        raise RefusalError("too-large", f"the body unpacks to more than {largest} bytes.")
    if not unpack.eof:
        raise RefusalError("invalid", "this gzip is cut short.")
    return body


def _fields(raw: bytes) -> Sent:
    try:
        found = decoded(raw)
    except FieldError:
        found = None
    if not isinstance(found, dict):
        raise RefusalError("invalid", "this is not a JSON object.")
    return found


def text_of(sent: Sent, name: str, longest: int = 255) -> str:
    """A field as text; `None` and `NULL` are how absent ones look."""
    value = sent.get(name)
    return "" if value in (None, "None", "NULL") else str(value).replace("\0", "?")[:longest]


def number_of(sent: Sent, name: str) -> int:
    """A field that is the number of something, or RefusalError."""
    return number_in(text_of(sent, name), name)


def number_in(text: str, name: str) -> int:
    """A text of the field `name` as the number of something, or RefusalError."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RefusalError("invalid", f"{name} is not a number.")
    return int(text)


def seconds_of(sent: Sent, name: str) -> float | None:
    """A field that is a positive time in seconds; None for anything else, as PanDA takes 0 for unknown."""
    try:
        seconds = float(text_of(sent, name, 40))
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None
