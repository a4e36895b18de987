"""Access to pages: login, the role that a page needs, and the policy that every page is sent with."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Concatenate, Literal, ParamSpec
from urllib.parse import urlsplit, urlunsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.server.api.auth import address_of, admit
from pilotext.server.api.base import refuse_nul
from pilotext.server.api.problems import STATUS
from pilotext.server.production.access.people import ROLES, role_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.transitions import Reason

Role = Literal["viewer", "expert", "manager"]
Words = ParamSpec("Words")
View = Callable[Concatenate[HttpRequest, Words], HttpResponse]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
ROLE = "pilotext.role"
"""Key of the role of the person who asks, with a request; no header can have this name."""

STAMP = "pilotext.stamp"
"""Key of the stamp of a page that refreshes itself, with a request."""

MAX_REASON = 500
"""Characters of a reason for the audit trail."""


def page(role: Role, *, methods: tuple[str, ...] = ("GET", "HEAD")) -> Callable[[View[Words]], View[Words]]:
    """Return a decorator of views: people of this role see the page, others are asked to log in or are refused.

    A RefusalError of the view becomes a page with its sentence and its status.
    """

    def decorate(view: View[Words]) -> View[Words]:
        @wraps(view)
        def answer(request: HttpRequest, /, *args: Words.args, **names: Words.kwargs) -> HttpResponse:
            if request.method not in methods:
                return refusal(request, RefusalError("not-allowed", f"{request.method} is not for this page."))
            if not request.user.is_authenticated:
                return with_policy(redirect_to_login(_asked(request), reverse("login")))
            if not may(request, role):
                return refusal(request, RefusalError("forbidden", f"this page is for the role {role}."))
            try:
                refuse_nul(b"", *map(str, (*request.GET.values(), *request.POST.values())))
                return with_policy(view(request, *args, **names))
            except RefusalError as error:
                return refusal(request, error)

        return answer

    return decorate


def feed(view: Callable[[HttpRequest, str], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return a view of a feed for people who have logged in, and for feed readers by HTTP Basic with a token.

    The token is the password, of any name, and has the role viewer: feed readers keep it. An address never has it, so
    that no log and no proxy sees one. The view gets the name of the person or the label of the token.
    """

    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        try:
            name = _reader(request)
            refuse_nul(b"", *map(str, request.GET.values()))
            return with_policy(view(request, name))
        except RefusalError as error:
            status = STATUS[error.kind]
            refused = HttpResponse(f"{error.message}\n", content_type="text/plain; charset=utf-8", status=status)
            if status == HTTPStatus.UNAUTHORIZED:
                refused["WWW-Authenticate"] = 'Basic realm="pilotext", charset="UTF-8"'
            return with_policy(refused)

    return answer


def _reader(request: HttpRequest) -> str:
    """Return the name of who asks for a feed. Raises RefusalError for anybody who may not have it."""
    if request.method not in ("GET", "HEAD"):
        raise RefusalError("not-allowed", f"{request.method} is not for a feed.")
    if not request.user.is_authenticated:
        return _label_of(request)
    if not may(request, "viewer"):
        raise RefusalError("forbidden", "this feed is for the role viewer.")
    return request.user.get_username()


def _label_of(request: HttpRequest) -> str:
    """Return the label of the token of a feed reader. Raises RefusalError without a good one of the role viewer."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise RefusalError("unauthorized", "a feed needs a login, or a token of the role viewer as the password.")
    try:
        _, _, token = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        raise RefusalError("unauthorized", "the login of the feed reader cannot be read.") from None
    caller = admit("viewer", token, address_of(request.META))
    if caller.role != "viewer":
        raise RefusalError(
            "forbidden", f"the token has the role {caller.role}; give a feed reader one of the role viewer."
        )
    return caller.label


def _asked(request: HttpRequest) -> str:
    """Return the page to go on to after a login; that of a decision is its object."""
    return request.get_full_path() if request.method in ("GET", "HEAD") else request.path.rpartition("/")[0]


def may(request: HttpRequest, role: Role) -> bool:
    """Whether the person who asks has this role or a mightier one; it is read once for each request."""
    if ROLE not in request.META:
        request.META[ROLE] = role_of(request.user)
    own = request.META[ROLE]
    return own is not None and ROLES.index(own) <= ROLES.index(role)


def refusal(request: HttpRequest, error: RefusalError) -> HttpResponse:
    """Return the page of a refused request."""
    status = STATUS[error.kind]
    words = {"title": HTTPStatus(status).phrase, "message": error.message, "back": _back(request)}
    return with_policy(render(request, "pages/refusal.html", words, status=status))


def _back(request: HttpRequest) -> str:
    """Return the page of this server that led here; empty where none is known."""
    before = urlsplit(request.headers.get("Referer", ""))
    path = urlunsplit(("", "", before.path, before.query, ""))
    here = before.netloc == request.get_host() and path.startswith("/") and not path.startswith("//")
    return path if here and path != request.get_full_path() else ""


def csrf_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Return the page for a form without a good token; `reason` is Django's, which logs it."""
    del reason
    why = "this form is too old, or your browser keeps no cookies; go back, reload the page, and send it again."
    return refusal(request, RefusalError("forbidden", why))


def with_policy(answer: HttpResponse) -> HttpResponse:
    """Return an answer with the policy of all pages; nothing of it is kept by proxies."""
    answer["Content-Security-Policy"] = POLICY
    answer["Cache-Control"] = "no-store"
    answer["Referrer-Policy"] = "same-origin"
    return answer


def reason_of(request: HttpRequest, otherwise: str = "") -> Reason:
    """Return who decides and why, from a form. Raises RefusalError without a reason and without another one."""
    why = request.POST.get("why", "").strip() or otherwise
    if not why:
        raise RefusalError("invalid", "a decision needs a reason; write one beside the button.")
    if len(why) > MAX_REASON:
        raise RefusalError("invalid", f"the reason is longer than {MAX_REASON} characters.")
    return Reason(f"person:{request.user.get_username()}", why, "person")
