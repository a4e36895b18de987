"""Words that every template has: the main navigation."""

from __future__ import annotations

from django.http import HttpRequest

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
