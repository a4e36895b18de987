"""Middleware of the pages alone: programs that call the API have no sessions, no forms, and any name of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from pilotext.server.api.panda.urls import PANDA_PATHS

GetResponse = Callable[[HttpRequest], HttpResponseBase]
WITHOUT_PAGES = ("/api/v1/", "/health", "/metrics", *PANDA_PATHS)
DOCUMENTATION = "/api/v1/docs"


class PagesMiddleware:
    """The chain of `PAGE_MIDDLEWARE` around everything but WITHOUT_PAGES."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._chain = get_response
        self._view_hooks: list[Callable[..., HttpResponseBase | None]] = []
        for name in reversed(settings.PAGE_MIDDLEWARE):
            self._chain = import_string(name)(self._chain)
            if hook := getattr(self._chain, "process_view", None):
                self._view_hooks.insert(0, hook)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return (self._chain if _of_pages(request) else self._get_response)(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], words: Any, names: Any
    ) -> HttpResponseBase | None:
        hooks = self._view_hooks if _of_pages(request) else ()
        return next((answer for hook in hooks if (answer := hook(request, view, words, names))), None)


def _of_pages(request: HttpRequest) -> bool:
    return not request.path.startswith(WITHOUT_PAGES) or request.path == DOCUMENTATION
