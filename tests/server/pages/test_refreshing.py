"""Pages that refresh themselves: what a poll is answered while nothing has changed, and what is a change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import escape

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.http.response import HttpResponse  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.server.front.address import PEER, trusted_networks  # noqa: E402
from pilotext.server.pages.access import POLICY  # noqa: E402
from pilotext.server.pages.refreshing import MAX_AGE_S, holds  # noqa: E402
from pilotext.server.production.access.people import set_user  # noqa: E402
from pilotext.server.production.models import Attempt, Job, Task  # noqa: E402
from tests.server.pages.addresses import ADDRESSES  # noqa: E402
from tests.server.pages.browsing import BY, browser, text_of  # noqa: E402
from tests.server.support import fail, leased, raw, site, submit, succeed, the_job  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")

MAX_QUERIES = 3
"""Of an unchanged poll: session, user with the marks of everything, marks of the task."""

REFRESHED = (
    *("overview", "tasks", "task", "run", "jobs", "job", "manual", "manual-jobs", "plots", "plot", "sites", "site"),
)
AT = 1_800_000_000.0


def path_of(name: str) -> str:
    task, job = Task.objects.order_by("pk")[0].pk, the_job().pk
    return ADDRESSES[name].path.format(task=task, run_task=task, run=1, job=job, site=site().pk)


def poll(client: Client, path: str, stamp: str) -> HttpResponse:
    answer = client.get(path, headers={"If-None-Match": stamp})
    assert isinstance(answer, HttpResponse)
    return answer


def stamp_of(client: Client, path: str) -> str:
    """Return the stamp of a page that is built anew, which its text has as well."""
    answer = client.get(path)
    assert answer.status_code == 200
    stamp = answer["ETag"]
    assert f'data-stamp="{escape(stamp)}"' in text_of(answer)
    return stamp


@pytest.mark.parametrize("name", REFRESHED)
def test_an_unchanged_poll_has_a_small_answer_after_few_queries_and_a_change_the_whole_page(name: str) -> None:
    submit()
    given, client = leased(), browser("expert")
    path = path_of(name)
    stamp = stamp_of(client, path)
    with CaptureQueriesContext(connection) as queries:
        answer = poll(client, path, stamp)
    assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", stamp)
    assert answer["Content-Security-Policy"] == POLICY
    assert abs((parsedate_to_datetime(answer["Date"]) - datetime.now(UTC)).total_seconds()) < 60
    assert len(queries) <= MAX_QUERIES
    fail(given, "calibration", "manual-check")
    changed = poll(client, path, stamp)
    assert changed.status_code == 200
    assert "</html>" in text_of(changed)
    assert changed["ETag"] != stamp
    assert poll(client, path, changed["ETag"]).status_code == 304


def test_pages_without_moving_numbers_do_not_refresh_themselves() -> None:
    for path in ("/account", "/rules", "/submit", "/jobs/1"):
        answer = browser("manager").get(path)
        assert "ETag" not in answer
        assert "refresh.js" not in text_of(answer)


def test_a_move_of_another_task_changes_the_overview_and_no_run_of_this_task() -> None:
    submit()
    client, run = browser("viewer"), f"{path_of('task')}/runs/{Job.objects.values_list('run', flat=True).get()}"
    before = {path: stamp_of(client, path) for path in (run, "/")}
    submit([raw(2, 1)], name="another")
    assert poll(client, run, before[run]).status_code == 304
    assert poll(client, "/", before["/"]).status_code == 200


@pytest.mark.parametrize(
    "move",
    [lambda: submit([raw(3, 1)], name="new"), leased, lambda: succeed(leased())],
    ids=["a task is submitted", "a job begins", "a job ends"],
)
def test_every_move_changes_the_stamp(move: Callable[[], object]) -> None:
    submit()
    client = browser("viewer")
    stamp = stamp_of(client, "/jobs")
    move()
    assert poll(client, "/jobs", stamp).status_code == 200


def test_what_leaves_no_line_in_the_trail_is_shown_when_the_page_is_too_old() -> None:
    submit()
    leased()
    client = browser("viewer")
    digest, _, made = stamp_of(client, "/sites").strip('"').partition(".")
    Attempt.objects.update(node="renamed")
    assert poll(client, "/sites", f'"{digest}.{made}"').status_code == 304
    assert poll(client, "/sites", f'"{digest}.{int(made) - MAX_AGE_S - 2:.0f}"').status_code == 200


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        (f'"abc.{AT:.0f}"', True),
        (f'"abc.{AT - MAX_AGE_S + 2:.0f}"', True),
        (f'"abc.{AT - MAX_AGE_S - 2:.0f}"', False),
        (f'"abc.{AT + 5:.0f}"', False),
        (f'"abd.{AT:.0f}"', False),
        *((sent, False) for sent in ("", "*", '"abc"', '"abc."', '"abc.x"', '"abc.\N{SUPERSCRIPT TWO}"', 'W/"abc.1"')),
    ],
)
def test_a_stamp_holds_for_the_same_marks_and_not_too_long(sent: str, held: bool) -> None:
    assert holds(sent, "abc", AT) is held


def test_a_stamp_is_of_one_reader_and_one_role() -> None:
    submit()
    viewer, expert = browser("viewer"), browser("expert")
    stamp = stamp_of(viewer, "/jobs")
    assert poll(expert, "/jobs", stamp).status_code == 200
    set_user("a-viewer", "manager", BY)
    assert poll(viewer, "/jobs", stamp).status_code == 200


def test_after_the_login_has_ended_a_poll_is_sent_to_the_login_and_gets_no_page() -> None:
    submit()
    client = browser("viewer")
    stamp = stamp_of(client, "/")
    client.logout()
    answer = poll(client, "/", stamp)
    assert (answer.status_code, answer["Location"]) == (302, "/login?next=/")


def test_a_poll_leaves_messages_to_the_page_that_they_are_for() -> None:
    submit()
    client = browser("expert")
    job = the_job().pk
    client.post(f"/jobs/{job}/note", {"why": "seen in the log"})
    assert "The note is in the history" not in text_of(poll(client, f"/jobs/{job}", '"old.1"'))
    assert "The note is in the history" in text_of(client.get(f"/jobs/{job}"))


def test_the_page_that_a_proxy_logs_somebody_in_with_has_a_stamp_that_holds() -> None:
    """Its user has come without marks."""
    submit()
    browser("viewer")
    client = browser()
    proxied = {PEER: "10.0.0.5", "HTTP_X_REMOTE_USER": "a-viewer"}
    with override_settings(REMOTE_USER_HEADER="X-Remote-User", REMOTE_USER_PROXIES=trusted_networks("10.0.0.5")):
        stamp = client.get("/", **proxied)["ETag"]  # type: ignore[arg-type]
        assert client.get("/", **proxied, HTTP_IF_NONE_MATCH=stamp).status_code == 304  # type: ignore[arg-type]
