"""Answers to the commands of former versions, which refuse every field that they do not know.

Until version 0.1 the commands did not name themselves: they came as `python-requests`. Other programs that do so get
these answers too, and lack nothing that they had before.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

FORMER_COMMANDS = "python-requests/"

ADDED_FIELDS: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "tasks"): frozenset({"to_decide", "needs_person", "inputs_of"}),
    ("POST", "tasks"): frozenset({"to_come", "waits_for"}),
    ("GET", "jobs"): frozenset({"inputs", "first_event"}),
    ("POST", "jobs"): frozenset({"looked_at", "hindrances", "merged_anew"}),
}
"""Fields added since, by method and resource; a new field of an answer that former commands read stands here too."""

FORMER_WORDS: dict[tuple[str, object], str] = {("kind", "inputs"): "chunks"}
"""Words of a closed list that is longer now, by field and word, with the former word that says most of it."""


def answer_as_before(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Leave out of answers what the commands of former versions refuse: a middleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.headers.get("User-Agent", "").startswith(FORMER_COMMANDS):
            _leave_out(request, response)
        return response

    return middleware


def _leave_out(request: HttpRequest, response: HttpResponseBase) -> None:
    resource = request.path.removeprefix("/api/v1/").partition("/")[0]
    fields = ADDED_FIELDS.get((request.method or "", resource))
    if fields is None or response.status_code != 200 or not isinstance(response, HttpResponse):
        return
    response.content = msgspec.json.encode(_without(msgspec.json.decode(response.content), fields))
    if "Content-Length" in response.headers:
        response.headers["Content-Length"] = str(len(response.content))


def _without(value: object, fields: frozenset[str]) -> object:
    if isinstance(value, dict):
        kept = {name: _without(each, fields) for name, each in value.items() if name not in fields}
        return {name: _former_word(name, each) for name, each in kept.items()}
    if isinstance(value, list):
        return [_without(each, fields) for each in value]
    return value


def _former_word(name: str, value: object) -> object:
    return FORMER_WORDS.get((name, value), value) if isinstance(value, str) else value
