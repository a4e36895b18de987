"""Words that every template has: the main navigation."""

from __future__ import annotations

from django.http import HttpRequest

NAVIGATION = (
    ("overview", "Overview"),
    ("tasks", "Tasks"),
    ("jobs", "Jobs"),
    ("manual", "Decide"),
    ("failures", "Failures"),
    ("sites", "Sites"),
)


def navigation(_request: HttpRequest) -> dict[str, object]:
    """Return the names of the pages that each page leads to, with their words."""
    return {"navigation": NAVIGATION}
