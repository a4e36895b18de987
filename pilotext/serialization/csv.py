"""Lists of records as comma-separated values that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

import msgspec

from pilotext.model import Record
from pilotext.sanitize import one_line

FORMULA = ("=", "+", "-", "@")
"""First characters by which a spreadsheet takes a text for a formula."""


def csv_of(kind: type[Record], rows: Iterable[Record]) -> str:
    """Return a line of the field names of `kind`, and a line for each record.

    Lists and mappings are JSON, what is not known is empty, texts are one line of printable characters.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(kind.__struct_fields__)
    for row in rows:
        lines.writerow(_cell(getattr(row, name)) for name in kind.__struct_fields__)
    return out.getvalue()


def _cell(value: object) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return value
    if isinstance(value, msgspec.Struct | tuple | Mapping):
        return msgspec.json.encode(value).decode() if value else ""
    text = one_line(str(value))
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text
