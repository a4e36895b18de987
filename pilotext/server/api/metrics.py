"""What Prometheus may know: requests in this process, and what the database has, counted when it is asked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse

from django.db import close_old_connections
from django.db.models import Count

from pilotext.server.production.models import Agent, Attempt, Job, Site
from pilotext.server.production.states import ACTIVE_ATTEMPT

FRESH_S = 5.0
"""So old the counts of the database may be."""

_requests: Counter[tuple[str, str]] = Counter()
_seconds: Counter[str] = Counter()
_lock = threading.Lock()


def count(path: str, status: str, seconds: float) -> None:
    """Count one request."""
    with _lock:
        _requests[path, status] += 1
        _seconds[path] += seconds  # type: ignore[assignment]  # a Counter adds numbers of any kind


class Page:
    """WSGI application of all metrics in Prometheus' text format; the database is asked once for many who ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: list[str] = []
        self._counted_s = -FRESH_S

    def __call__(self, _environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = "\n".join([*_of_requests(), *self._of_database(), ""]).encode()
        kind = "text/plain; version=0.0.4; charset=utf-8"
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    def _of_database(self) -> list[str]:
        """Return the counts of the database. Whoever comes while they are made is given the last ones."""
        if time.monotonic() - self._counted_s < FRESH_S or not self._lock.acquire(blocking=not self._counted):
            return self._counted
        try:
            close_old_connections()
            self._counted, self._counted_s = list(_of_database()), time.monotonic()
            close_old_connections()
        finally:
            self._lock.release()
        return self._counted


def _of_requests() -> Iterator[str]:
    with _lock:
        requests, seconds = dict(_requests), dict(_seconds)
    yield "# TYPE pilotext_requests_total counter"
    for (path, status), number in sorted(requests.items()):
        yield f'pilotext_requests_total{{path="{path}",status="{status}"}} {number}'
    yield "# TYPE pilotext_request_seconds_total counter"
    for path, spent in sorted(seconds.items()):
        yield f'pilotext_request_seconds_total{{path="{path}"}} {spent:.6f}'


def _of_database() -> Iterator[str]:
    yield "# TYPE pilotext_jobs gauge"
    for state, number in Job.objects.values_list("state").annotate(Count("pk")).order_by("state"):
        yield f'pilotext_jobs{{state="{state}"}} {number}'
    yield "# TYPE pilotext_attempts_active gauge"
    active: Counter[str] = Counter()
    names = dict(Site.objects.values_list("pk", "name"))
    grouped = Attempt.objects.filter(state__in=ACTIVE_ATTEMPT).values_list("state", "site_id")
    for _, site, number in grouped.annotate(Count("pk")):
        active[names[site]] += number
    for name, number in sorted(active.items()):
        yield f'pilotext_attempts_active{{site="{name}"}} {number}'
    yield "# TYPE pilotext_agents gauge"
    for state, number in Agent.objects.values_list("state").annotate(Count("pk")).order_by("state"):
        yield f'pilotext_agents{{state="{state}"}} {number}'
