"""URL configuration of the whole server: the API, PanDA's pilot protocol, metrics, administration, pages."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path
from django.views import defaults
from django.views.generic import RedirectView

from pilotext.server.api import metrics
from pilotext.server.api import urls as api
from pilotext.server.api.panda import urls as panda
from pilotext.server.api.problems import problem_response
from pilotext.server.pages import urls as pages
from pilotext.server.pages.access import refusal
from pilotext.server.production import admin
from pilotext.server.production.refusal import RefusalError

urlpatterns: list[URLPattern | URLResolver] = [
    *api.urlpatterns,
    *panda.urlpatterns,
    path("metrics", metrics.page),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    *pages.urlpatterns,
]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer where there is nothing, in the form that callers of this part of the server understand."""
    del exception
    if request.path.startswith(panda.PANDA_PATHS):
        return panda.panda_refusal(request.path, RefusalError("not-found", "there is nothing at this address."))
    if request.path.startswith("/api/"):
        return problem_response(RefusalError("not-found", "there is nothing at this address."))
    return refusal(request, RefusalError("not-found", "there is no page at this address."))


def handler500(request: HttpRequest) -> HttpResponseBase:
    """Answer after an exception outside any controller; Django has logged it."""
    error = RefusalError("internal", "the server failed; its log has the details.")
    if request.path.startswith(panda.PANDA_PATHS):
        return panda.panda_refusal(request.path, error)
    if request.path.startswith("/api/"):
        return problem_response(error)
    return defaults.server_error(request)
