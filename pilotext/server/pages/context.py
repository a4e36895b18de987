"""Words that every template has: the main navigation, and what a page that refreshes itself needs."""

from __future__ import annotations

from django.http import HttpRequest

from pilotext.server.pages.access import STAMP

REFRESH_S = 25
"""Seconds after which a page that is seen asks whether it has changed."""

NAVIGATION = (
    ("overview", "Overview"),
    ("tasks", "Tasks"),
    ("periods", "Periods"),
    ("jobs", "Jobs"),
    ("manual", "Decide"),
    ("failures", "Failures"),
    ("plots", "Plots"),
    ("sites", "Sites"),
    ("rules", "Rules"),
    ("trail", "Trail"),
)


def navigation(request: HttpRequest) -> dict[str, object]:
    """Return the names of the pages that each page leads to, with their words, and the theme of this browser."""
    theme = request.COOKIES.get("pilotext_theme", "")
    return {"navigation": NAVIGATION, "theme": theme if theme in ("light", "dark") else ""}


def refreshing(request: HttpRequest) -> dict[str, object]:
    """Return the stamp of a page that refreshes itself, and how often it does; whether it is asked for again."""
    stamp = request.META.get(STAMP, "")
    return {"stamp": stamp, "refresh_s": REFRESH_S, "refreshes": "HTTP_IF_NONE_MATCH" in request.META}
