"""The page of the notices and their Atom feeds, also for feed readers that log in with a token."""

from __future__ import annotations

import base64
import logging
from xml.etree import ElementTree

import pytest

from pilotext.server.boot import boot

boot()

from django.http.response import HttpResponseBase  # noqa: E402  needs boot
from django.test import Client  # noqa: E402

from pilotext.server.database import transact  # noqa: E402
from pilotext.server.pages.notices import ATOM  # noqa: E402
from pilotext.server.production.access.tokens import issue, revoke  # noqa: E402
from pilotext.server.production.manual_decisions.sites import move_site  # noqa: E402
from pilotext.server.production.manual_decisions.tasks import move_task  # noqa: E402
from pilotext.server.production.models import Notice, NoticeChannel, Task, Token  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402
from pilotext.server.times import now  # noqa: E402
from tests.server.pages.browsing import BY, HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.support import SITE, submit  # noqa: E402

WHY = Reason("maria", f"storage\n{HOSTILE}", "person")


@pytest.fixture(autouse=True)
def _noticed(database: str, quick_hashes: None) -> None:
    """Two tasks that are held, one of them of the viewer, and a site that is closed."""
    for name in ("t1", "t2"):
        task = submit(name=name).task
        transact(lambda task=task: move_task(task, "pause", WHY))  # type: ignore[misc]
    Task.objects.filter(name="t2").update(submitter="a-viewer")
    transact(lambda: move_site(SITE, "close", WHY))


def feed(token: str, path: str = "/notices.atom", user: str = "reader") -> HttpResponseBase:
    login = base64.b64encode(f"{user}:{token}".encode()).decode()
    return Client(SERVER_NAME="localhost").get(path, headers={"Authorization": f"Basic {login}"})


def entries(answer: HttpResponseBase) -> list[str | None]:
    assert answer.status_code == 200
    top = ElementTree.fromstring(text_of(answer))
    return [title.text for title in top.findall(f"{{{ATOM}}}entry/{{{ATOM}}}title")]


T1, T2, CLOSED = "Task t1 is held", "Task t2 is held", f"Site {SITE} is closed"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("", [CLOSED, T2, T1]),
        ("?task=t1", [T1]),
        (f"?site={SITE}", [CLOSED]),
        ("?mine=yes", [T2]),
        ("?task=99", []),
    ],
)
def test_page_and_feed_have_the_notices_of_a_choice_newest_first(choice: str, expected: list[str]) -> None:
    viewer = browser("viewer")
    assert entries(viewer.get(f"/notices.atom{choice}")) == expected
    page = text_of(viewer.get(f"/notices{choice}"))
    assert_harmless(page)
    assert [title for title in (CLOSED, T2, T1) if f">{title}<" in page] == expected


def test_a_feed_is_atom_with_links_to_pages_and_texts_of_others_as_text() -> None:
    text = text_of(browser("viewer").get("/notices.atom?task=t1"))
    assert_harmless(text, html=False)
    assert "<script" not in text
    top = ElementTree.fromstring(text)
    entry = top.find(f"{{{ATOM}}}entry")
    assert entry is not None
    task, notice = Task.objects.get(name="t1").pk, Notice.objects.get(title=T1).pk
    assert entry.findtext(f"{{{ATOM}}}id") == f"tag:127.0.0.1,2026:notice-{notice}"
    links = [link.get("href") for link in entry.findall(f"{{{ATOM}}}link")]
    assert links == [f"http://127.0.0.1:8080/tasks/{task}"]
    summary = entry.find(f"{{{ATOM}}}summary")
    assert summary is not None
    assert summary.get("type") == "text"
    assert (summary.text or "").startswith("storage\\n<script>alert(1)</script>\\x1b[31m\\u202e")
    for name in ("id", "title", "updated"):
        assert top.findtext(f"{{{ATOM}}}{name}")
        assert entry.findtext(f"{{{ATOM}}}{name}")


def test_the_page_says_which_way_of_sending_fails() -> None:
    viewer = browser("viewer")
    NoticeChannel.objects.create(name="mail", error=HOSTILE, failed=now())
    NoticeChannel.objects.create(name="webhook well.example.org")
    page = text_of(viewer.get("/notices"))
    assert_harmless(page)
    assert "Notices cannot be sent by mail, the last time" in page
    assert "well.example.org" not in page


def test_unknown_tasks_sites_and_words_are_refused() -> None:
    viewer = browser("viewer")
    for path, status in (("?task=t9", 404), ("?site=NOWHERE", 404), ("?mine=no", 422), ("?colour=red", 422)):
        assert viewer.get(f"/notices{path}").status_code == status
        assert viewer.get(f"/notices.atom{path}").status_code == status


def test_earlier_notices_are_on_the_next_page() -> None:
    viewer = browser("viewer")
    page = text_of(viewer.get("/notices?limit=2"))
    assert T2 in page
    assert f">{T1}<" not in page
    last = Notice.objects.get(title=T2).pk
    assert f"before={last}" in page
    assert T1 in text_of(viewer.get(f"/notices?limit=2&before={last}"))


def test_a_feed_reader_logs_in_with_a_token_of_the_role_viewer_and_begins_no_session() -> None:
    browser("viewer")
    own = issue("a-viewer", "viewer", user="a-viewer", by=BY)
    assert entries(feed(own)) == [CLOSED, T2, T1]
    assert entries(feed(own, "/notices.atom?mine=yes")) == [T2]
    assert entries(feed(issue("screen", "viewer", by=BY), "/notices.atom?mine=yes")) == []
    answer = feed(own)
    assert answer.cookies.get("sessionid") is None
    assert answer["Cache-Control"] == "no-store"


def test_a_feed_asks_for_a_login_and_takes_no_other_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = issue("screen", "viewer", by=BY)
    anonymous = Client(SERVER_NAME="localhost")
    for answer in (anonymous.get("/notices.atom"), feed("wrong"), anonymous.get(f"/notices.atom?token={token}")):
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Basic ")
    for header in ("Basic !", "Basic /w==", f"Bearer {token}", "Basic"):
        assert anonymous.get("/notices.atom", headers={"Authorization": header}).status_code == 401
    for role in ("expert", "manager", "agent"):
        assert feed(issue(f"a {role}", role, by=BY)).status_code == 403
    browser("viewer")
    revoke(Token.objects.all(), BY)
    assert token not in caplog.text


def test_a_token_opens_nothing_but_feeds() -> None:
    token = issue("screen", "viewer", by=BY)
    assert feed(token, "/notices").status_code == 302
    assert feed(token, "/api/v1/tasks").status_code == 401


def test_somebody_without_a_role_sees_no_feed() -> None:
    viewer = browser("viewer")
    from django.contrib.auth.models import User

    User.objects.get(username="a-viewer").groups.clear()
    assert viewer.get("/notices.atom").status_code in (401, 403)
