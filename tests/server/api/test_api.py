from __future__ import annotations

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from pilotext.api.schemas.attempts import LeasedJob
from pilotext.api.schemas.jobs import JobState
from pilotext.serialization.json import from_plain
from pilotext.server.api import auth
from pilotext.server.boot import boot

boot()

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from dmr.openapi import openapi as dmr_openapi  # noqa: E402
from dmr.openapi.collector import controller_mapping_collector  # noqa: E402  needs boot
from dmr.openapi.openapi import OpenAPI  # noqa: E402

from pilotext.server.api.urls import documentation, openapi_document, router, schema  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.models import AuditEntry, Job, Token  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from pilotext.server.times import earlier, now  # noqa: E402
from tests.server.support import SITE, raw, report_of, submit, task_document  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")


class Caller:
    """Calls the application as a WSGI server would."""

    def __init__(self, role: str | None, site: str | None = None) -> None:
        remember_all()
        self.token = issue(f"test-{role}", role, site) if role else ""
        self.application = Application()

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(data)),
            "HTTP_AUTHORIZATION": f"Bearer {self.token if token is None else token}",
            "wsgi.input": io.BytesIO(data),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
        }
        told: list[str] = []
        answer = b"".join(self.application(environ, lambda status, headers, _=None: told.append(status)))  # type: ignore[arg-type]
        return int(told[0][:3]), (answer.decode() if path in ("/metrics", "/api/v1/docs") else json.loads(answer))

    def post(self, path: str, body: Any, **more: Any) -> tuple[int, Any]:
        return self.call("POST", path, body, **more)

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("GET", path)


def test_a_job_goes_its_whole_way_through_the_api() -> None:
    manager, agent = Caller("manager"), Caller("agent")
    status, task = manager.post("/api/v1/tasks", {"task": {"task": task_document([raw(1, 1)])}})
    assert (status, task["created"], task["jobs"]) == (200, True, 1)
    _, welcome = agent.post("/api/v1/agents", {"name": "a1", "site": SITE})
    _, answer = agent.post(f"/api/v1/agents/{welcome['agent']}/job", {"node": "wn1"})
    lease = answer["lease"]
    path = f"/api/v1/attempts/{lease['attempt']}"
    status, beat = agent.post(f"{path}/heartbeat", {"phase": "payload"}, token=lease["token"])
    assert (status, beat["command"]) == (200, "go-on")

    given = from_plain(lease, LeasedJob)
    status, said = agent.post(f"{path}/report", report_of(given), token=lease["token"])  # type: ignore[arg-type]
    assert (status, said) == (200, {"accepted": True, "why": ""})
    _, page = manager.get(f"/api/v1/jobs/{given.job.job}")
    assert [event["after"] for event in page["events"]] == ["sent", "running", "finished"]
    _, tasks = manager.get("/api/v1/tasks")
    assert tasks["tasks"][0]["jobs"] == {"finished": 1}


@pytest.mark.parametrize("role", ["viewer", "expert", "agent", None])
def test_only_a_manager_submits(role: str | None) -> None:
    status, problem = Caller(role).post("/api/v1/tasks", {"task": {"task": task_document()}})
    assert (status, problem["error"]) == ((403, "forbidden") if role else (401, "unauthorized"))
    assert Job.objects.count() == 0


def test_a_viewer_cannot_change_anything() -> None:
    submit()
    viewer = Caller("viewer")
    told = AuditEntry.objects.count()
    job = Job.objects.get()
    for path in (f"/api/v1/jobs/{job.pk}/move", f"/api/v1/tasks/{job.task_id}/move", "/api/v1/agents"):
        status, _ = viewer.post(path, {"to": "cancel", "why": "to see", "name": "x", "site": SITE})
        assert status == 403
    assert AuditEntry.objects.count() == told


def test_a_token_that_was_revoked_or_has_expired_is_no_good() -> None:
    viewer = Caller("viewer")
    assert viewer.get("/api/v1/tasks")[0] == 200
    Token.objects.update(expires=earlier(now(), 1))
    auth.forget()
    assert viewer.get("/api/v1/tasks")[0] == 401
    Token.objects.update(expires=None, revoked=now())
    auth.forget()
    assert viewer.get("/api/v1/tasks")[0] == 401


def test_an_agents_token_is_good_for_its_own_site_only() -> None:
    agent = Caller("agent", SITE)
    assert agent.post("/api/v1/agents", {"name": "a", "site": SITE})[0] == 200
    assert agent.post("/api/v1/agents", {"name": "a", "site": "FRONTERA_COMPASS_TEST"})[0] == 403


def key(caller: Caller, name: str, site: str = SITE) -> tuple[int, Any]:
    _, welcome = Caller("agent").post("/api/v1/agents", {"name": name, "site": site})
    return caller.get(f"/api/v1/agents/{welcome['agent']}/key")


def test_all_agents_of_a_site_have_the_same_key_whatever_their_token() -> None:
    one, other = key(Caller("agent", SITE), "a"), key(Caller("agent"), "b")
    assert one == other
    assert one[0] == 200
    assert len(one[1]["key"]) > 40


def test_another_site_has_another_key() -> None:
    assert key(Caller("agent"), "a")[1] != key(Caller("agent"), "b", "FRONTERA_COMPASS_TEST")[1]


@pytest.mark.parametrize("role", ["viewer", "expert", "manager", None])
def test_only_agents_get_the_key_of_a_site(role: str | None) -> None:
    assert key(Caller(role), "a")[0] == (403 if role else 401)


def test_an_agent_of_another_site_does_not_get_the_key() -> None:
    assert key(Caller("agent", "FRONTERA_COMPASS_TEST"), "a")[0] == 403
    assert Caller("agent").get("/api/v1/agents/4711/key")[0] == 404


def test_a_decision_moves_the_job_and_is_told_with_its_reason() -> None:
    submit()
    expert = Caller("expert")
    job = Job.objects.get().pk
    assert expert.post(f"/api/v1/jobs/{job}/move", {"to": "cancel", "why": "not needed"}) == (200, {"moved": [job]})
    assert AuditEntry.objects.latest("pk").why == "not needed"
    status, problem = expert.post(f"/api/v1/jobs/{job}/move", {"to": "resnd", "why": "x"})
    assert (status, problem["message"]) == (422, "'resnd' is unknown. Did you mean 'resend'?")
    assert expert.post(f"/api/v1/jobs/{job}/move", {"to": "resend", "why": ""})[0] == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/nothing", b"", 404),
        ("GET", "/api/v1/jobs/999", b"", 404),
        ("GET", "/api/v1/jobs/x", b"", 404),
        ("GET", "/api/v1/jobs/99999999999999999999999", b"", 404),
        ("DELETE", "/api/v1/tasks", b"", 405),
        ("GET", "/api/v1/jobs?limit=100000", b"", 422),
        ("GET", "/api/v1/jobs?naem=x", b"", 422),
        ("GET", "/api/v1/jobs?task=a%00", b"", 422),
        ("POST", "/api/v1/tasks", b'{"task": "a\\u0000"}', 422),
        ("POST", "/api/v1/tasks", b"{", 422),
        ("POST", "/api/v1/tasks", b"[" * 100_000, 422),
        ("POST", "/api/v1/tasks", b'{"task": {"task": {}}}', 422),
        ("POST", "/api/v1/jobs/1/move", b" " * 70_000, 413),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(method: str, path: str, body: bytes, status: int) -> None:
    got, problem = Caller("manager").call(method, path, body)
    assert got == status
    assert problem["message"]


def test_a_list_comes_in_pages() -> None:
    submit([raw(1, chunk) for chunk in range(5)])
    viewer = Caller("viewer")
    seen: list[int] = []
    page: dict[str, Any] = {"next": 0}
    while page["next"] is not None:
        _, page = viewer.get(f"/api/v1/jobs?limit=2&after={page['next']}")
        seen += [job["chunk"] for job in page["jobs"]]
    assert seen == [0, 1, 2, 3, 4]
    assert viewer.get("/api/v1/jobs?run=1&state=failed")[1]["jobs"] == []
    assert viewer.get("/api/v1/jobs?run=2")[0] == 404


def test_health_and_metrics_are_for_anyone() -> None:
    submit()
    anyone = Caller(None)
    assert anyone.get("/health")[1]["parts"]["database"]["status"] == "ok"
    status, text = anyone.get("/metrics")
    assert status == 200
    assert 'pilotext_jobs{state="ready"} 1' in text
    assert 'pilotext_requests_total{path="/health",status="200"}' in text


def test_the_openapi_document_describes_every_endpoint_and_what_it_answers() -> None:
    submit()
    document = Caller(None).get("/api/v1/openapi.json")[1]
    routed = {route.normalized_path for route, _ in controller_mapping_collector(router.urls, base_path="")}
    assert set(document["paths"]) == routed
    described = document["paths"]["/api/v1/jobs"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    _, answer = Caller("viewer").get("/api/v1/jobs")
    jsonschema.validate(answer, {**described, "components": document["components"]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"jobs": 1}, {**described, "components": document["components"]})


def test_many_that_ask_for_the_document_first_have_it_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread made it for itself, which held everybody else for seconds."""
    make, made = vars(dmr_openapi)["dump_schema"], []

    def slow(document: OpenAPI) -> Any:
        made.append(document)
        time.sleep(0.2)
        return make(document)

    monkeypatch.setattr(dmr_openapi, "dump_schema", slow)
    schema().cache_clear()
    views = (openapi_document, documentation)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda view: view(RequestFactory().get("/")), views * 4))
    assert {answer.status_code for answer in answers} == {200}
    assert len(made) == 1


def test_closed_lists_of_words_stand_in_the_document() -> None:
    document = Caller(None).get("/api/v1/openapi.json")[1]
    parameters = {each["name"]: each["schema"] for each in document["paths"]["/api/v1/jobs"]["get"]["parameters"]}
    words = [option["x-words"] for option in parameters["state"]["anyOf"] if "x-words" in option]
    assert set(words[0]) == set(get_args(JobState))


def test_the_documentation_page_is_for_anyone() -> None:
    status, text = Caller(None).call("GET", "/api/v1/docs")
    assert status == 200
    assert "swagger" in text
