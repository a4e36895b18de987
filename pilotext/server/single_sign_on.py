"""Login by a single sign-on proxy: it names the person in a header, which counts only from the proxies that are named.

Accounts and roles are made by a manager; a name without an account is not logged in. A session that began like this
ends when the proxy names nobody, or somebody else.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pilotext.server.front.address import PEER, is_trusted, parsed

GetResponse = Callable[[HttpRequest], HttpResponseBase]
SESSION_KEY = "pilotext_remote_user"
BACKEND = "pilotext.server.logins.LimitedBackend"


def remote_user(get_response: GetResponse) -> GetResponse:
    """Return a middleware that logs in whom a named proxy names."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if settings.REMOTE_USER_HEADER:
            _follow(request, named_person(request))
        return get_response(request)

    return answer


def named_person(request: HttpRequest) -> str:
    """Return the name in the proxy's header; empty where there is none, or who sent it is no named proxy."""
    peer = parsed(str(request.META.get(PEER, "")))
    if peer is None or not is_trusted(peer, settings.REMOTE_USER_PROXIES):
        return ""
    name = str(request.META.get(f"HTTP_{settings.REMOTE_USER_HEADER.upper().replace('-', '_')}", "")).strip()
    return "" if "," in name or not name.isprintable() else name  # a comma: the client has sent the header as well


def _follow(request: HttpRequest, name: str) -> None:
    before = request.session.get(SESSION_KEY, "")
    if before and before != name:
        logout(request)
    if not name or request.user.is_authenticated:
        return
    user = User.objects.filter(username=name, is_active=True).first()
    if user is not None:
        login(request, user, backend=BACKEND)
        request.session[SESSION_KEY] = name
