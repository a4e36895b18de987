"""Choices of rows in the address of a page, by the same records as those of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlencode

from django.http import HttpRequest

from pilotext.errors import FieldError
from pilotext.model import Record
from pilotext.serialization.json import from_plain
from pilotext.server.production.refusal import RefusalError

Asked = TypeVar("Asked", bound=Record)
EMPTY_MEANS_NONE = frozenset({"product", "assigned", "code", "cause"})
"""Fields whose empty value is a choice: jobs that are no merges, jobs that nobody has, jobs without a failure."""

NUMBERS = frozenset({"run", "after", "before", "limit", "since_s"})
"""Fields of choices that are numbers; addresses have only texts."""


def choice_of(request: HttpRequest, kind: type[Asked]) -> Asked:
    """Return the choice that the address has. Raises RefusalError for a field or a value that there is not."""
    given = request.GET.items()
    plain = {name: _value(name, str(text)) for name, text in given if text or name in EMPTY_MEANS_NONE}
    try:
        return from_plain(plain, kind)
    except FieldError as error:
        raise RefusalError("invalid", f"the address asks for something that there is not: {error}") from None


def address(path: str, /, **fields: object) -> str:
    """Return the address of a page with a choice; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def in_words(asked: Mapping[str, object]) -> str:
    """Return a choice as a sentence, such as `state manual, task dvcs2016P09t1`."""
    named = (f"{name} {value}" for name, value in asked.items() if value not in (None, ""))
    none = (f"no {name}" for name in asked if name in EMPTY_MEANS_NONE and asked[name] == "")
    return ", ".join([*named, *none])


def _value(name: str, text: str) -> object:
    return int(text) if name in NUMBERS and text.isascii() and text.isdigit() and len(text) < 19 else text
