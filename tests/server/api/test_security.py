"""Who may do what, and what becomes of those who try more."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import msgspec
import pytest

from pilotext.server.boot import boot

boot()

from django.contrib.auth import authenticate  # noqa: E402  needs boot
from django.contrib.auth.models import User  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402
from django.test import Client as Browser  # noqa: E402
from django.test import RequestFactory  # noqa: E402

from pilotext.errors import UsageError  # noqa: E402
from pilotext.server import logs  # noqa: E402
from pilotext.server.api import auth  # noqa: E402
from pilotext.server.api.panda import v1  # noqa: E402
from pilotext.server.production.access.people import make_groups, role_of, set_user  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.dispatch.dispatcher import Lease  # noqa: E402
from pilotext.server.production.dispatch.leases import expire_leases  # noqa: E402
from pilotext.server.production.job_builder import build_job  # noqa: E402
from pilotext.server.production.models import (  # noqa: E402
    Agent,
    Attempt,
    AttemptReport,
    AuditEntry,
    Breaker,
    Experiment,
    Job,
    MergeGroup,
    Output,
    Product,
    Signature,
    Site,
    Task,
    Token,
)
from pilotext.server.production.profiles import remember_all  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402
from pilotext.server.times import EPOCH, earlier, now  # noqa: E402
from tests.server.calls import Answered, operations, request  # noqa: E402
from tests.server.support import SITE, avoid, leased, raw, report_of, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")

BY = Reason("boss", "by a test", "person")
PASSWORD = "a long enough sentence"
PANDA_CHANGES = (
    *(f"/server/panda/{word}" for word in ("getJob", "updateJob", "updateJobsInBulk")),
    *(f"/api/v1/{name}" for name, function in v1.FUNCTIONS.items() if function.method == "POST"),
)


@pytest.fixture
def application() -> Application:
    remember_all()
    make_groups()
    return Application()


def report(application: Application, attempt: int, token: str, body: Any) -> Answered:
    return request(application, "POST", f"/api/v1/attempts/{attempt}/report", msgspec.json.encode(body), token=token)


# ------------------------------------------------------------------------------------------------------------ attempts


def test_a_stolen_token_of_an_attempt_cannot_touch_another_attempt(application: Application) -> None:
    submit([raw(1, 1), raw(1, 2)])
    mine, other = leased(), leased("wn2")
    for body in (report_of(other), report_of(mine)):
        assert report(application, other.attempt, mine.token, body).status == 403
    assert report(application, mine.attempt, mine.token, report_of(other)).status == 403
    beat = request(application, "POST", f"/api/v1/attempts/{other.attempt}/heartbeat", b"{}", token=mine.token)
    assert beat.status == 403
    assert set(Attempt.objects.values_list("state", flat=True)) == {"leased"}
    assert not AttemptReport.objects.exists()


def test_the_token_of_an_attempt_opens_nothing_else(application: Application) -> None:
    submit()
    given = leased()
    for endpoint in operations():
        if endpoint.role in ("agent", "viewer", "expert", "manager"):
            path = re.sub(r"\{\w+\}", "1", endpoint.path)
            assert request(application, endpoint.method, path, b"{}", token=given.token).status in (401, 429)
        auth.forget()


def test_an_attempt_reports_once_and_finally(application: Application) -> None:
    submit()
    given = leased()
    unfinished = msgspec.structs.replace(report_of(given), state="running")
    assert report(application, given.attempt, given.token, unfinished).status == 422
    good = report_of(given)
    assert report(application, given.attempt, given.token, good).json["accepted"] is True
    assert report(application, given.attempt, given.token, good).json["accepted"] is True, "the same one again"
    assert (
        report(application, given.attempt, given.token, report_of(given, cause="crash", action="retry")).status == 409
    )
    assert Job.objects.get().state == "finished"


def test_an_attempt_that_holds_its_job_no_more_changes_nothing(application: Application) -> None:
    submit()
    late = leased()
    Attempt.objects.update(lease_until=earlier(now(), 1))
    expire_leases()
    Job.objects.update(not_before=EPOCH)
    avoid({})
    leased("wn2")
    assert report(application, late.attempt, late.token, report_of(late)).json["accepted"] is False
    assert Job.objects.get().state == "sent"


# -------------------------------------------------------------------------------------------------------------- people


TABLES = (
    Agent,
    Attempt,
    Breaker,
    AuditEntry,
    AttemptReport,
    Job,
    MergeGroup,
    Output,
    Product,
    Signature,
    Site,
    Task,
    Token,
    User,
)


def everything() -> dict[str, list[Any]]:
    """All rows of the tables that somebody could change."""
    return {table.__name__: list(table._default_manager.order_by("pk").values()) for table in TABLES}


def changes_of_the_document(application: Application) -> list[tuple[str, str, str]]:
    """Of every operation of the OpenAPI document that is no GET: method, address of a row that is there, role."""
    paths = request(application, "GET", "/api/v1/openapi.json").json["paths"]
    found = [(method, path, each) for path, methods in paths.items() for method, each in methods.items()]
    return [
        (method.upper(), re.sub(r"\{\w+\}", "1", path), each["x-role"])
        for method, path, each in found
        if method != "get"
    ]


@pytest.fixture
def viewers_world(application: Application) -> str:
    """A row of everything that the endpoints are about, all with the number 1; and the token of a viewer."""
    agent = request(
        *(application, "POST", "/api/v1/agents", json.dumps({"name": "a", "site": SITE}).encode()),
        token=issue("node", "agent"),
    )
    assert agent.json["agent"] == 1
    submit(merges=["mdst"])
    leased()
    experiment = Experiment.objects.get(name="COMPASS")
    Breaker.objects.create(experiment=experiment, rule="conditions database", scope="")
    for table in (Agent, Attempt, Breaker, Job, Product, Task, Token):
        assert table._default_manager.filter(pk=1).exists(), table
    set_user("eva", "viewer", BY, PASSWORD)
    return issue("eva", "viewer", user="eva")


def test_a_viewer_is_refused_every_change_that_the_document_knows(application: Application, viewers_world: str) -> None:
    before = everything()
    good = msgspec.json.encode(report_of(Lease(1, "", build_job(Task.objects.get(), Job.objects.get(), 1), EPOCH, 0.0)))
    changes = changes_of_the_document(application)
    assert len(changes) >= 20
    assert len(changes) == sum(endpoint.method != "GET" for endpoint in operations()), "none is missing in the document"
    for method, path, _ in changes:
        auth.forget()
        body = good if path.endswith("/report") else b"{}"
        assert request(application, method, path, body, token=viewers_world).status == 403, path
    for path in PANDA_CHANGES:
        auth.forget()
        assert request(application, "POST", path, b"{}", token=viewers_world).status in (401, 403), path
    assert everything() == before
    assert request(application, "GET", "/api/v1/jobs/1", token=viewers_world).status == 200, "the token is a good one"


def test_those_whom_a_change_is_for_are_not_refused_like_a_viewer(application: Application, viewers_world: str) -> None:
    """The same requests, so that the refusals above are for the viewer and not for the request."""
    tokens = {role: issue(role, role) for role in ("agent", "expert", "manager")}
    looked_at = set()
    for method, path, role in changes_of_the_document(application):
        if role in tokens:
            looked_at.add(role)
            assert request(application, method, path, b"{}", token=tokens[role]).status not in (401, 403), path
    assert looked_at == set(tokens)


def test_the_session_of_a_viewer_changes_nothing_either(application: Application, viewers_world: str) -> None:
    browser = Browser()
    assert browser.login(request=RequestFactory().post("/"), username="eva", password=PASSWORD)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
    assert "sessionid=" in cookies
    before = everything()
    for method, path, role in changes_of_the_document(application):
        auth.forget()
        status = request(application, method, path, b"{}", HTTP_COOKIE=cookies).status
        assert status == 401, (path, role, status)
    assert everything() == before


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", {"viewer"}),
        ("expert", {"viewer", "expert"}),
        ("manager", {"viewer", "expert", "manager"}),
        ("agent", {"agent"}),
    ],
)
def test_each_role_may_what_the_next_one_may_and_no_more(
    application: Application, role: str, allowed: set[str]
) -> None:
    token = issue("somebody", role)
    for endpoint in operations():
        if endpoint.role in ("anyone", "attempt", "ticket"):
            continue
        path = "/".join("999999" if word.startswith("{") else word for word in endpoint.path.split("/"))
        status = request(application, endpoint.method, path, b"", token=token).status
        assert (status == 403) is (endpoint.role not in allowed), (endpoint.path, status)


def test_a_token_of_a_user_may_no_more_than_the_user(application: Application) -> None:
    set_user("eva", "manager", BY)
    token = issue("eva", "manager", user="eva")
    assert request(application, "GET", "/api/v1/tokens", token=token).status == 200
    set_user("eva", "viewer", BY)
    auth.forget()
    assert request(application, "GET", "/api/v1/tokens", token=token).status == 403
    assert request(application, "GET", "/api/v1/tasks", token=token).status == 200
    set_user("eva", None, Reason("boss", "she left", "person"))
    auth.forget()
    assert request(application, "GET", "/api/v1/tasks", token=token).status == 401
    told = AuditEntry.objects.filter(subject="user").values_list("before", "after")
    assert list(told) == [("", "manager"), ("manager", "viewer"), ("viewer", "none")]


def test_a_manager_makes_and_revokes_tokens_and_the_trail_tells_it(application: Application) -> None:
    boss = issue("boss", "manager")
    asked = json.dumps({"label": "node7", "role": "agent", "site": SITE, "days": 1}).encode()
    made = request(application, "POST", "/api/v1/tokens", asked, token=boss).json["token"]
    hello = json.dumps({"name": "a", "site": SITE}).encode()
    assert request(application, "POST", "/api/v1/agents", hello, token=made).status == 200
    listed = request(application, "GET", "/api/v1/tokens", token=boss)
    assert made not in listed.body.decode()
    number = listed.json["tokens"][0]["token"]
    path = f"/api/v1/tokens/{number}/revoke"
    assert request(application, "POST", path, b'{"why": "lost"}', token=boss).json == {"revoked": [number]}
    assert request(application, "POST", path, b'{"why": "again"}', token=boss).json == {"revoked": []}
    auth.forget()
    assert request(application, "POST", "/api/v1/agents", hello, token=made).status == 401
    told = AuditEntry.objects.filter(subject="token", subject_id=number).values_list("who", "before", "after")
    assert list(told) == [("person:boss", "", "agent"), ("person:boss", "agent", "revoked")]


def test_what_is_kept_of_a_token_does_not_open_anything(application: Application) -> None:
    """Known problem 21 of the legacy system: passwords stood in settings, for whoever could read them."""
    issue("boss", "manager")
    submit()
    given = leased()
    for kept in (Token.objects.get().token, Attempt.objects.get().token):
        assert len(kept) == 64
        assert request(application, "GET", "/api/v1/tasks", token=kept).status == 401
    assert given.token not in str(Attempt.objects.values())


def test_a_weak_password_is_refused() -> None:
    make_groups()
    for weak in ("short", "password123", "1234567"):
        with pytest.raises(UsageError, match="password"):
            set_user("eva", "viewer", BY, weak)
    user = set_user("eva", "viewer", BY, PASSWORD)
    assert role_of(user) == "viewer"
    assert PASSWORD not in user.password


# -------------------------------------------------------------------------------------------------------------- limits


def test_after_some_wrong_tokens_an_address_is_refused_unseen(application: Application) -> None:
    good = issue("eva", "viewer")
    assert request(application, "GET", "/api/v1/tasks", token=good).status == 200
    told = [request(application, "GET", "/api/v1/tasks", token=f"guess{number}").status for number in range(100)]
    assert told[0] == 401
    assert told[-1] == 429
    assert request(application, "GET", "/api/v1/tasks", token=good).status == 200, "its neighbour works on"
    fresh = issue("max", "viewer")
    assert request(application, "GET", "/api/v1/tasks", token=fresh, address="10.0.0.9").status == 200
    assert request(application, "GET", "/api/v1/tasks", token=fresh).status == 200, "it was good somewhere"


def test_tokens_of_attempts_are_guessed_no_better(application: Application) -> None:
    submit([raw(1, 1), raw(1, 2)])
    given, late = leased(), leased("wn2")
    path = f"/api/v1/attempts/{given.attempt}/heartbeat"
    assert request(application, "POST", path, b"{}", token=given.token).status == 200
    told = [request(application, "POST", path, b"{}", token=f"guess{number}").status for number in range(50)]
    assert (told[0], told[-1]) == (403, 429)
    assert request(application, "POST", path, b"{}", token=given.token).status == 200
    path = f"/api/v1/attempts/{late.attempt}/heartbeat"
    assert request(application, "POST", path, b"{}", token=late.token, address="10.0.0.9").status == 200


def test_who_asks_too_often_is_told_so(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    from pilotext.server.api.limits import Limiter

    monkeypatch.setattr(auth, "PEOPLE", Limiter(per_s=0.001, burst=5))
    eva, max_, agent = issue("eva", "viewer"), issue("max", "viewer"), issue("node", "agent")
    told = [request(application, "GET", "/api/v1/tasks", token=eva).status for _ in range(6)]
    assert told == [200, 200, 200, 200, 200, 429]
    assert request(application, "GET", "/api/v1/tasks", token=max_).status == 200
    hello = json.dumps({"name": "a", "site": SITE}).encode()
    assert {request(application, "POST", "/api/v1/agents", hello, token=agent).status for _ in range(10)} == {200}


def test_wrong_passwords_are_refused_unseen_after_some(monkeypatch: pytest.MonkeyPatch) -> None:
    make_groups()
    set_user("eva", "viewer", BY, PASSWORD)
    looked: list[str] = []
    from django.contrib.auth.backends import ModelBackend

    def seen(_self: Any, _request: Any, **credentials: Any) -> None:
        looked.append(credentials["password"])

    assert authenticate(RequestFactory().post("/"), username="eva", password=PASSWORD) is not None
    monkeypatch.setattr(ModelBackend, "authenticate", seen)
    for number in range(500):
        asked = RequestFactory().post("/", REMOTE_ADDR="10.0.0.7")
        assert authenticate(asked, username="eva", password=f"guess {number}") is None
    assert len(looked) < 30, "to look at each would take a tenth of a second"
    monkeypatch.undo()
    other = RequestFactory().post("/", REMOTE_ADDR="10.0.0.8")
    assert authenticate(other, username="eva", password=PASSWORD) is not None, "she is not locked out"


@pytest.mark.parametrize(("length", "status"), [("70000", 413), ("", 422)])
def test_a_request_that_is_too_large_is_refused_without_reading_it(
    application: Application, length: str, status: int
) -> None:
    """A body of unknown length is none at all here: the HTTP front has put its length before it."""

    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            self.taken += size
            return b"x" * size

    token = issue("boss", "manager")
    body = Endless()
    more: Any = {"wsgi.input": body, "CONTENT_LENGTH": length}
    assert request(application, "POST", "/api/v1/jobs/1/move", token=token, **more).status == status
    assert body.taken == 0


# ---------------------------------------------------------------------------------------------------- secrets, cookies


def test_no_secret_stands_in_a_log_line() -> None:
    line = logging.LogRecord("x", logging.ERROR, "f", 1, "Authorization: Bearer %s", ("ab12CD34ef56GH78ij90kl",), None)
    told = json.loads(logs.JsonLines().format(line))
    assert "ab12CD34" not in told["message"]
    try:
        raise ValueError("https://h/job?ticket=x&token=ab12CD34ef56GH78")  # noqa: TRY301  its text is what the test is about
    except ValueError as error:
        line = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), (type(error), error, error.__traceback__))
    told = json.loads(logs.JsonLines().format(line))
    assert "ab12CD34" not in told["exception"]
    assert "test_security.py" in told["exception"]


def test_a_page_takes_no_form_without_its_csrf_token(settings_with_a_form: None) -> None:
    browser = Browser(enforce_csrf_checks=True)
    assert browser.post("/form", {"a": 1}).status_code == 403
    browser.cookies["csrftoken"] = "a" * 32
    assert browser.post("/form", {"a": 1, "csrfmiddlewaretoken": "a" * 32}).status_code == 200


@pytest.fixture
def settings_with_a_form() -> Any:
    """A page as there may be one, behind the middleware that all pages have."""
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import path

    from pilotext.server.urls import urlpatterns as of_the_server

    class Urls:
        urlpatterns = [path("form", lambda _: HttpResponse("taken")), *of_the_server]

    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"]):
        yield


def test_cookies_open_nothing_of_the_api(application: Application) -> None:
    token = issue("eva", "viewer")
    answer = request(application, "GET", "/api/v1/tasks", HTTP_COOKIE=f"sessionid={token}; token={token}")
    assert answer.status == 401
