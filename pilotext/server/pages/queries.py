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
NUMBERS = frozenset({"run", "after", "before", "limit", "since_s"})
"""Fields of choices that are numbers; addresses have only texts."""


def choice_of(request: HttpRequest, kind: type[Asked]) -> Asked:
    """Return the choice that the address has. Raises RefusalError for a field or a value that there is not."""
    plain = {name: _value(name, str(text)) for name, text in request.GET.items() if text}
    try:
        return from_plain(plain, kind)
    except FieldError as error:
        raise RefusalError("invalid", f"the address asks for something that there is not: {error}") from None


def address(path: str, **fields: object) -> str:
    """Return the address of a page with a choice; fields that are None or empty are left out."""
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def in_words(asked: Mapping[str, object]) -> str:
    """Return a choice as a sentence, such as `state manual, task dvcs2016P09t1`."""
    return ", ".join(f"{name} {value}" for name, value in asked.items() if value not in (None, ""))


def _value(name: str, text: str) -> object:
    return int(text) if name in NUMBERS and text.isascii() and text.isdigit() and len(text) < 19 else text
