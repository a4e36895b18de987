"""Addresses of the API, its OpenAPI document and its documentation page."""

from __future__ import annotations

import threading
from functools import cache

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include
from dmr.openapi import OpenAPIConfig, build_schema
from dmr.openapi.objects import License
from dmr.openapi.openapi import OpenAPI
from dmr.openapi.views import OpenAPIJsonView, SwaggerView
from dmr.routing import Router, path

from pilotext import __version__
from pilotext.server import converters  # noqa: F401  registers `number`
from pilotext.server.api import access, agents, attempts, factories, health, jobs, rules, runs, sites, tasks

# Those that pilots and agents ask thousands of times a minute are found first.
_V1 = [
    path("attempts/<number:attempt>/heartbeat", attempts.HeartbeatController.as_view()),
    path("attempts/<number:attempt>/report", attempts.ReportController.as_view()),
    path("attempts/<number:attempt>/job", attempts.JobOfTicketController.as_view()),
    path("agents/<number:agent>/job", agents.AgentJobController.as_view()),
    path("agents/<number:agent>/key", agents.AgentKeyController.as_view()),
    path("agents/<number:agent>/move", agents.AgentMoveController.as_view()),
    path("agents", agents.AgentsController.as_view()),
    path("factories/work", factories.SiteWorkController.as_view()),
    path("factories", factories.FactoriesController.as_view()),
    path("panda/jobs", factories.PandaJobsController.as_view()),
    path("panda/states", factories.PandaStatesController.as_view()),
    path("tasks", tasks.TasksController.as_view()),
    path("tasks/dry-run", tasks.DryRunController.as_view()),
    path("tasks/<number:task>", tasks.TaskController.as_view()),
    path("tasks/<number:task>/move", tasks.TaskMoveController.as_view()),
    path("tasks/<number:task>/settings", tasks.TaskSettingsController.as_view()),
    path("tasks/<number:task>/runs/<number:run>", runs.RunController.as_view()),
    path("jobs", jobs.JobsController.as_view()),
    path("jobs/move", jobs.BulkMoveController.as_view()),
    path("jobs/rejudge", jobs.ReclassifyController.as_view()),
    path("jobs/<number:job>", jobs.JobController.as_view()),
    path("jobs/<number:job>/move", jobs.JobMoveController.as_view()),
    path("jobs/<number:job>/note", jobs.JobNoteController.as_view()),
    path("jobs/<number:job>/assign", jobs.JobAssignController.as_view()),
    path("manual", jobs.WorkListController.as_view()),
    path("runs", runs.RunsController.as_view()),
    path("products", runs.ProductsController.as_view()),
    path("products/<number:product>", runs.ProductController.as_view()),
    path("products/<number:product>/move", runs.ProductMoveController.as_view()),
    path("errors", rules.ErrorsController.as_view()),
    path("signatures", rules.SignaturesController.as_view()),
    path("sites", sites.SitesController.as_view()),
    path("sites/move", sites.SiteMoveController.as_view()),
    path("sites/limit", sites.SiteLimitController.as_view()),
    path("breakers", sites.BreakersController.as_view()),
    path("breakers/<number:breaker>/move", sites.BreakerMoveController.as_view()),
    path("tokens", access.TokensController.as_view()),
    path("tokens/<number:token>/revoke", access.TokenRevokeController.as_view()),
    path("users", access.UsersController.as_view()),
    path("events", access.AuditController.as_view()),
]
router = Router("", [path("api/v1/", include(_V1)), path("health", health.HealthController.as_view())])
_FIRST_USE = threading.Lock()


@cache
def _make_schema() -> OpenAPI:
    config = OpenAPIConfig(
        title="pilotext", version=__version__, license=License(name="Apache-2.0", identifier="Apache-2.0")
    )
    return build_schema(router, config=config)


def schema() -> OpenAPI:
    """Return the OpenAPI document, made when it is first asked for: that takes as long as all the rest of a start.

    One thread makes it; otherwise many would do so at once, and hold every other.
    """
    with _FIRST_USE:
        made = _make_schema()
        made.convert(skip_validation=True)
        return made


def openapi_document(request: HttpRequest) -> HttpResponseBase:
    """Answer with the OpenAPI document."""
    return OpenAPIJsonView.as_view(schema(), skip_validation=True)(request)


def documentation(request: HttpRequest) -> HttpResponseBase:
    """Answer with the documentation page."""
    return SwaggerView.as_view(schema(), skip_validation=True)(request)


urlpatterns: list[URLPattern | URLResolver] = [
    *router.urls,
    path("api/v1/openapi.json", openapi_document),
    path("api/v1/docs", documentation),
]
