"""What workers and pilots send as any database can keep it, whatever stands in its texts.

Nobody types a report: it quotes what a payload wrote, and it is the only word on an attempt. So a strange text in it is
mended, where the same from a person would be refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from pilotext.errors import FieldError
from pilotext.model.report import Report
from pilotext.redaction import LONGEST_TEXT, shortened
from pilotext.serialization.json import from_json, from_plain

_STRANGE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_LONG = re.compile(rb'"[^"]{%d}' % LONGEST_TEXT)
"""Escapes that may be trouble, and what may be a text that is too long: seldom enough to look more closely then."""

_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
"""PostgreSQL keeps no U+0000, and no UTF-8 a half of a surrogate pair."""

_NUMBERS = frozenset(("counters", "fields"))
"""In these, a value that JSON has no number for is left out: it says nothing."""


def read_report(body: bytes) -> tuple[Report, str]:
    """A report, and the text of it to keep; U+FFFD stands for what cannot be kept, long texts are cut.

    Raises FieldError for what is no report.
    """
    if not (_STRANGE.search(body) or _LONG.search(body)):
        try:
            return from_json(body, Report), body.decode()
        except (FieldError, RecursionError, ValueError):
            pass  # the closer look says what is wrong with it, if it cannot be mended
    plain = _leniently(body, LONGEST_TEXT)
    return from_plain(plain, Report), json.dumps(plain, ensure_ascii=False, allow_nan=False)


def decoded(body: bytes | str) -> Any:
    """Any other JSON document as plain data, its texts mended alike, none cut. Raises FieldError for what is none."""
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if not _STRANGE.search(raw):
        try:
            return msgspec.json.decode(raw)
        except (RecursionError, ValueError):
            pass  # as above
    return _leniently(raw, len(raw))


def _leniently(body: bytes, longest: int) -> Any:
    try:
        return _mended(json.loads(body.decode("utf-8", "replace"), strict=False), longest)
    except RecursionError:
        raise FieldError("", "this JSON document is nested too deeply.") from None
    except ValueError as error:
        raise FieldError("", f"this is not a JSON document: {error}") from None


def _mended(value: Any, longest: int, key: str = "") -> Any:
    if isinstance(value, str):
        return shortened(_UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", value), longest)
    if isinstance(value, dict):
        items = ((_mended(name, longest), _mended(each, longest, name)) for name, each in value.items())
        return {name: each for name, each in items if each is not None or key not in _NUMBERS}
    if isinstance(value, list):
        return [_mended(each, longest, key) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
