"""Choices of rows in the address of a page, by the same records as those of the API."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseRedirect

from pilotext.errors import FieldError, UsageError
from pilotext.formatting import point_in_time
from pilotext.model import Record
from pilotext.serialization.json import from_plain
from pilotext.server.production.refusal import RefusalError

Asked = TypeVar("Asked", bound=Record)
EMPTY_MEANS_NONE = frozenset({"product", "assigned", "code", "cause", "rule", "message"})
"""Fields whose empty value is a choice: jobs that are no merges, jobs that nobody has, jobs without a failure."""

NUMBERS = frozenset({"run", "year", "after", "before", "limit", "since_s"})
"""Fields of choices that are numbers; addresses have only texts."""

TIMES = frozenset({"changed_since", "changed_until", "since", "until"})
"""Fields of choices that are points in time: dates, times ago, or seconds since 1970."""

MAX_DIGITS = 18
MAX_NUMBER = 10**MAX_DIGITS - 1
"""A number of an object or a byte; the database has no larger ones."""

FORM = "form"
"""Field of addresses that a form has made: its empty fields are no choice."""


def given(request: HttpRequest, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the fields of a choice as texts; several values of one field are joined by commas."""
    fields = request.POST if request.method == "POST" else request.GET
    texts = {
        name: ",".join(filter(None, map(str, fields.getlist(name))))
        for name in fields
        if name not in (FORM, "csrfmiddlewaretoken", *without)
    }
    return {name: text for name, text in texts.items() if text or (name in EMPTY_MEANS_NONE and FORM not in fields)}


def tidy(request: HttpRequest) -> HttpResponseRedirect | None:
    """Return the way to the same page without the empty fields of a form; None where no form made the address."""
    return HttpResponseRedirect(address(request.path, **given(request))) if FORM in request.GET else None


def choice_of(request: HttpRequest, kind: type[Asked], *, without: tuple[str, ...] = ()) -> Asked:
    """Return the choice that the address has. Raises RefusalError for a field or a value that there is not."""
    plain = {name: _value(name, text) for name, text in given(request, without=without).items()}
    try:
        return from_plain(plain, kind)
    except FieldError as error:
        raise RefusalError("invalid", f"the address asks for something that there is not: {error}") from None


def address(path: str, /, **fields: object) -> str:
    """Return the address of a page with a choice; fields that are None are left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    return f"{path}?{urlencode(known)}" if known else path


def in_words(asked: Mapping[str, object]) -> str:
    """Return a choice as a sentence, such as `state manual, task dvcs2016P09t1`."""
    named = (f"{_word(name)} {value}" for name, value in asked.items() if value not in (None, ""))
    none = (f"no {_word(name)}" for name in asked if name in EMPTY_MEANS_NONE and asked[name] == "")
    return ", ".join([*named, *none])


def time_locked(path: str, asked: Mapping[str, str], fields: tuple[str, str]) -> str:
    """Return the address of the same choice with fixed times; empty where it moves with the time in no way.

    `fields` are the names of the first and of the last point in time.
    """
    if not any(re.fullmatch(r"\d+[mhdw]", asked.get(name, "")) for name in fields):
        return ""
    since, until = asked.get(fields[0]), asked.get(fields[1])
    times = {fields[0]: _fixed(since) if since else None, fields[1]: _fixed(until or "0m")}
    return address(path, **{**asked, **times})


def whole_number(text: str, most: int = MAX_NUMBER) -> int | None:
    """Return the whole number that a text of an address or a form is; None for any other text, and above `most`."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        return None
    number = int(text)
    return number if number <= most else None


def _fixed(text: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(_seconds(text)))


def _word(name: str) -> str:
    return name.replace("_", " ")


def _value(name: str, text: str) -> object:
    if name in NUMBERS:
        number = whole_number(text)
        return text if number is None else number
    if name in TIMES:
        return _seconds(text)
    return text


def _seconds(text: str) -> float:
    if re.fullmatch(r"\d{1,11}(\.\d{1,6})?", text):
        return float(text)
    try:
        return point_in_time(text)
    except UsageError as error:
        raise RefusalError("invalid", str(error)) from None
