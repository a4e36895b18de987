"""Login by a proxy in front of the server, whose headers count only from the addresses that are named.

A single sign-on proxy names the person; a proxy that has verified a client certificate gives its subject, which is that
of a person. Accounts, roles and subjects are made by a manager; whoever has no account is not logged in. A session that
began like this ends when the proxy names nobody, or somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pilotext.server.front.address import PEER, REPEATED, Network, is_trusted, parsed
from pilotext.server.production.access.people import certified_name

GetResponse = Callable[[HttpRequest], HttpResponseBase]
SESSION_KEY = "pilotext_remote_user"
BACKEND = "pilotext.server.logins.LimitedBackend"
VERIFY_HEADER = "X-Client-Verify"
VERIFIED = "SUCCESS"
"""Word of nginx and Apache for a certificate that their authorities have signed."""


def remote_user(get_response: GetResponse) -> GetResponse:
    """Return a middleware that logs in whom a named proxy names."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if settings.REMOTE_USER_HEADER or settings.CERTIFICATE_HEADER:
            _follow(request, named_person(request) or certified_person(request))
        return get_response(request)

    return answer


def named_person(request: HttpRequest) -> str:
    """Return the name in the header of a single sign-on proxy; empty where no named proxy has sent one."""
    name = _header(request, settings.REMOTE_USER_HEADER, settings.REMOTE_USER_PROXIES)
    return "" if "," in name else name  # a comma: a proxy on the way has joined two


def certified_person(request: HttpRequest) -> str:
    """Return the person of a verified client certificate; empty where no named proxy has sent one that is known.

    Neither header is believed where it is there twice: the client may have sent it as well, and a subject has commas
    anyway. It is compared as it was sent: a header with characters beyond ASCII does not arrive, and each proxy
    escapes them in its own way.
    """
    proxies = settings.CERTIFICATE_PROXIES
    if _header(request, VERIFY_HEADER, proxies) != VERIFIED:
        return ""
    subject = _header(request, settings.CERTIFICATE_HEADER, proxies)
    return certified_name(subject) if subject else ""


def _header(request: HttpRequest, name: str, proxies: Sequence[Network]) -> str:
    """Return the text of a header; empty where there is none, or more than one, or who sent it is no named proxy."""
    peer = parsed(str(request.META.get(PEER, "")))
    if not name or peer is None or not is_trusted(peer, proxies):
        return ""
    key = f"HTTP_{name.upper().replace('-', '_')}"
    if key in request.META.get(REPEATED, ()):
        return ""
    text = str(request.META.get(key, "")).strip()
    return text if text.isprintable() else ""


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
