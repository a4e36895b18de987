"""The account of a person: own tokens and the theme; for a manager, all people and their roles."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from pilotext.errors import UsageError
from pilotext.server.pages.access import page, reason_of
from pilotext.server.pages.queries import whole_number
from pilotext.server.production.access.people import ROLES, role_of, set_user
from pilotext.server.production.access.tokens import issue, revoke
from pilotext.server.production.models import Token
from pilotext.server.production.refusal import RefusalError
from pilotext.server.times import DAY_S

MAX_DAYS = 365
MAX_TOKENS = 100
MAX_PEOPLE = 500
MAX_NAME = 150
THEMES = ("system", "light", "dark")
THEME_COOKIE = "pilotext_theme"
YEAR_S = 365 * 86400


@page("viewer", methods=("GET", "HEAD", "POST"))
def show(request: HttpRequest) -> HttpResponse:
    """Show the tokens of the person who asks; by POST, make one, whose secret is shown once."""
    secret = _issue(request) if request.method == "POST" else ""
    mine = Token.objects.filter(user__username=request.user.get_username()).order_by("-pk")[:MAX_TOKENS]
    own = role_of(request.user) or ""
    words = {"tokens": list(mine), "secret": secret, "roles": ROLES[ROLES.index(own) :], "themes": THEMES, "own": own}
    return render(request, "pages/account.html", words)


@page("viewer", methods=("POST",))
def revoke_own(request: HttpRequest, token: int) -> HttpResponse:
    """Revoke a token of the person who asks; those of others are not found."""
    found = Token.objects.filter(pk=token, user__username=request.user.get_username())
    if not found.exists():
        raise RefusalError("not-found", f"you have no token {token}.")
    ended = revoke(found, reason_of(request, "revoked by its owner"))
    messages.success(request, "Done: the token is revoked." if ended else "The token was revoked before.")
    return HttpResponseRedirect(reverse("account"))


@page("viewer", methods=("POST",))
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep the theme of this browser, and go back."""
    theme, back = request.POST.get("theme", ""), request.POST.get("back", "")
    if theme not in THEMES:
        raise RefusalError("invalid", f"there is no theme {theme!r:.40}; known are: {', '.join(THEMES)}.")
    allowed = url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    answer = HttpResponseRedirect(back if allowed and back.startswith("/") else reverse("account"))
    answer.set_cookie(THEME_COOKIE, theme, max_age=YEAR_S, samesite="Strict", secure=request.is_secure(), httponly=True)
    return answer


@page("manager", methods=("GET", "HEAD", "POST"))
def people(request: HttpRequest) -> HttpResponse:
    """Show all accounts; by POST, make one or change its role, with a reason."""
    if request.method == "POST":
        return _set_person(request)
    good = Count("api_tokens", filter=Q(api_tokens__revoked=None))
    rows = User.objects.annotate(good=good).prefetch_related("groups", "certificates").order_by("username")[:MAX_PEOPLE]
    shown = [(row, _role(row), row.last_login.timestamp() if row.last_login else None) for row in rows]
    return render(request, "pages/people.html", {"people": shown, "roles": (*ROLES, "none")})


def _role(user: User) -> str:
    """Return the role by the groups that were read with the user; empty for one who may nothing."""
    groups = {group.name for group in user.groups.all()}
    return next((role for role in ROLES if role in groups), "") if user.is_active else ""


def _issue(request: HttpRequest) -> str:
    role, days = request.POST.get("role", ""), request.POST.get("days", "")
    own = role_of(request.user)
    if own is None or role not in ROLES[ROLES.index(own) :]:
        raise RefusalError("forbidden", f"a token of yours can have no role {role!r:.40}.")
    good_for = whole_number(days, MAX_DAYS)
    if not good_for:
        raise RefusalError("invalid", f"a token is good for 1 to {MAX_DAYS} days.")
    name = request.user.get_username()
    try:
        return issue(name, role, user=name, good_for_s=good_for * DAY_S, by=reason_of(request, "for own use"))
    except UsageError as error:
        raise RefusalError("invalid", str(error)) from None


def _set_person(request: HttpRequest) -> HttpResponse:
    name, role = request.POST.get("name", "").strip(), request.POST.get("role", "")
    if not name or len(name) > MAX_NAME or not name.isprintable() or "/" in name:
        raise RefusalError("invalid", f"an account needs a name of at most {MAX_NAME} printable characters, no slash.")
    if role not in (*ROLES, "none"):
        raise RefusalError("invalid", f"there is no role {role!r:.40}; known are: {', '.join((*ROLES, 'none'))}.")
    if name == request.user.get_username():
        raise RefusalError("conflict", "nobody changes their own role; ask another manager.")
    password = request.POST.get("password") or None
    try:
        set_user(name, None if role == "none" else role, reason_of(request), password)
    except UsageError as error:
        raise RefusalError("invalid", str(error)) from None
    messages.success(request, f"Done: {name} is {role}.")
    return HttpResponseRedirect(reverse("people"))
