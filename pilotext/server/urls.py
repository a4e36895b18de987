"""The pages. The API is not here: `pilotext.server.web` answers it before Django's handler is reached."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
