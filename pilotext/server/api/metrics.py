"""Metrics for Prometheus: requests of this process, and counts of the database, made when they are asked for."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterable

from django.db import close_old_connections
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pilotext.server.production.models import Agent, Attempt, CycleStep, Job, Site
from pilotext.server.times import to_seconds

FRESH_S = 5.0
"""Age up to which counts of the database are shown again."""

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")

disable_created_metrics()  # type: ignore[no-untyped-call]
_registry = CollectorRegistry()
_requests = Counter("pilotext_requests", "Requests answered", ["path", "status"], registry=_registry)
_seconds = Counter("pilotext_request_seconds", "Time spent on them", ["path"], registry=_registry)


def count(path: str, status: int, seconds: float) -> None:
    """Count one request."""
    requests, spent = _counters(path, status)
    requests.inc()
    spent.inc(seconds)


@functools.lru_cache(maxsize=1000)
def _counters(path: str, status: int) -> tuple[Counter, Counter]:
    return _requests.labels(path, str(status)), _seconds.labels(path)


class DatabaseCounts(Collector):
    """Gauges of rows; the database is asked once for many who ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: list[Metric] = []
        self._counted_s = -FRESH_S

    def collect(self) -> Iterable[Metric]:
        """Return the counts; while they are made, others get the last ones."""
        if time.monotonic() - self._counted_s < FRESH_S or not self._lock.acquire(blocking=not self._counted):
            return self._counted
        try:
            close_old_connections()
            self._counted, self._counted_s = [_jobs(), _attempts(), _agents(), *_cycle()], time.monotonic()
            close_old_connections()
        finally:
            self._lock.release()
        return self._counted

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering it must not ask the database."""
        return ()


counts = DatabaseCounts()
_registry.register(counts)


def page(_request: HttpRequest) -> HttpResponse:
    """Answer with all metrics in Prometheus' text format."""
    return HttpResponse(generate_latest(_registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def counting(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Count every request by the route that answered it: a middleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        answer = get_response(request)
        found = request.resolver_match
        count(_label(found.route) if found else "none", answer.status_code, time.perf_counter() - began)
        return answer

    return middleware


@functools.lru_cache(maxsize=1000)
def _label(route: str) -> str:
    return "/" + _PARAMETER.sub(r"{\1}", route)


def _jobs() -> Metric:
    gauge = GaugeMetricFamily("pilotext_jobs", "Jobs by state", labels=["state"])
    for state, number in Job.objects.values_list("state").annotate(Count("pk")).order_by("state"):
        gauge.add_metric([state], number)
    return gauge


def _attempts() -> Metric:
    gauge = GaugeMetricFamily("pilotext_attempts_active", "Active attempts by site", labels=["site"])
    names = dict(Site.objects.values_list("pk", "name"))
    active = dict.fromkeys(names, 0)
    grouped = Attempt.objects.active().values_list("state", "site_id")
    for _, site, number in grouped.annotate(Count("pk")):
        active[site] += number
    for site, number in active.items():
        if number:
            gauge.add_metric([names[site]], number)
    return gauge


def _agents() -> Metric:
    gauge = GaugeMetricFamily("pilotext_agents", "Agents by state", labels=["state"])
    for state, number in Agent.objects.values_list("state").annotate(Count("pk")).order_by("state"):
        gauge.add_metric([state], number)
    return gauge


def _cycle() -> tuple[Metric, Metric]:
    last = GaugeMetricFamily("pilotext_cycle_last_seconds", "Unix time at which a step was last tried", labels=["step"])
    failing = GaugeMetricFamily("pilotext_cycle_failing", "1 for a step of the cycle that fails", labels=["step"])
    for step in CycleStep.objects.order_by("name"):
        last.add_metric([step.name], to_seconds(step.at))
        failing.add_metric([step.name], int(bool(step.error)))
    return last, failing
