"""Pages that refresh themselves: a stamp tells whether what a page shows has changed, without building the page.

The stamp is made before the page is, of the last line of the audit trail, which every move has, and of the last job. A
script sends it back as `If-None-Match`; while it holds, the answer is 304. What leaves no line, such as a heartbeat of
an agent or an age in minutes, is at most MAX_AGE_S old: after that no stamp holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import ParamSpec

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import http_date

import pilotext
from pilotext.server.pages.access import ROLE, STAMP, View
from pilotext.server.production.models import Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.marks import Marks, marks_of, with_last, with_marks
from pilotext.server.rows import AnnotatedById

Words = ParamSpec("Words")

_TASK = AnnotatedById(Task, lambda pk: with_last(Task.objects.filter(pk=pk).only("pk")))

MAX_AGE_S = 90.0
"""A page that is older is built anew, whether or not its stamp has changed; on PostgreSQL a line of the trail may also
be seen later than one with a higher id."""


def refreshed(marks: Callable[..., Marks]) -> Callable[[View[Words]], View[Words]]:
    """Return a decorator of views whose pages refresh themselves; `marks` returns what changes with them."""

    def decorate(view: View[Words]) -> View[Words]:
        @wraps(view)
        def answer(request: HttpRequest, /, *args: Words.args, **names: Words.kwargs) -> HttpResponse:
            at = time.time()
            reader = (pilotext.__version__, request.user.pk, request.META[ROLE])
            digest = sha256(repr((reader, marks(request, **names))).encode()).hexdigest()[:16]
            sent = request.headers.get("If-None-Match", "")
            if holds(sent, digest, at):
                return _stamped(HttpResponseNotModified(), sent, at)
            stamp = f'"{digest}.{at:.0f}"'
            request.META[STAMP] = stamp
            try:
                return _stamped(view(request, *args, **names), stamp, at)
            except RefusalError:
                del request.META[STAMP]  # the page of a refusal does not refresh itself
                raise

        return answer

    return decorate


def holds(sent: str, digest: str, at: float) -> bool:
    """Whether a page with this stamp still shows what is in the database, and is not too old."""
    before, _, made = sent.strip('"').partition(".")
    return before == digest and made.isdecimal() and 0 <= at + 1 - float(made) <= MAX_AGE_S


def _stamped(answer: HttpResponse, stamp: str, at: float) -> HttpResponse:
    answer["ETag"] = stamp
    answer["Date"] = http_date(at)
    return answer


def marks_of_all(request: HttpRequest, **_names: object) -> Marks:
    """Return what changes with any page: they come with the row of the reader, for no query of their own."""
    marks = marks_of(request.user)
    return marks or marks_of(
        with_marks(User.objects.filter(username=request.user.get_username())).get()
    )  # has logged in just now


def marks_of_task(_request: HttpRequest, task: int, **_names: object) -> Marks:
    """Return what changes with the pages of the runs of a task."""
    row = _TASK.get(task)
    return () if row is None else marks_of(row)
