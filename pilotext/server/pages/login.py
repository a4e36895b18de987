"""Login and logout of people."""

from __future__ import annotations

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pilotext.server.pages.access import POLICY


class _LoginView(LoginView):
    template_name = "pages/login.html"
    authentication_form = AuthenticationForm
    redirect_authenticated_user = True
    next_page = "overview"


_login = _LoginView.as_view()
_logout = LogoutView.as_view(next_page="login")


def log_in(request: HttpRequest) -> HttpResponseBase:
    """Show the form of the login, or log somebody in and go on to the page that was asked for."""
    return _with_policy(_login(request))


def log_out(request: HttpRequest) -> HttpResponseBase:
    """End the session; by POST only."""
    return _with_policy(_logout(request))


def _with_policy(answer: HttpResponseBase) -> HttpResponseBase:
    answer["Content-Security-Policy"] = POLICY
    answer["Cache-Control"] = "no-store"
    return answer
