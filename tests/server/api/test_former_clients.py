"""Requests as agents, wrappers and commands of version 0.9 send them, byte for byte: answered as that version was."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pilotext.api.schemas.attempts import LeasedJob
from pilotext.serialization.json import from_plain
from pilotext.server.boot import boot

boot()

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402  needs boot

from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from tests.server.calls import Answered, request  # noqa: E402
from tests.server.chain import generation, reconstruction  # noqa: E402
from tests.server.chain import submit as submit_task  # noqa: E402
from tests.server.support import PARAMETERS, SITE, raw, report_of, submit, task_document  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")

AGENT = {
    "HTTP_ACCEPT": "*/*",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate",
    "HTTP_USER_AGENT": "python-requests/2.32.3",
    "CONTENT_TYPE": "application/json",
}
HELLO = b'{"name":"a1","site":"%s","host":"wn1","slots":2,"version":"0.9","state":"active"}' % SITE.encode()
ASKING = b'{"node":"wn1","key":"b2f1c0","again":false}'
BEAT = b'{"phase":"payload","node":"","progress":{"events":12}}'
LEASE = {"attempt", "token", "job", "lease_until", "lease_s", "heartbeat_s"}
ROW_OF_A_JOB = {
    *(
        "job",
        "task",
        "type",
        "product",
        "file",
        "run",
        "chunk",
        "state",
        "attempts",
        "charged",
        "code",
        "cause",
        "diag",
    ),
    *("not_before", "changed", "assigned"),
}


def ask(method: str, path: str, body: bytes = b"", token: str = "", **headers: str) -> Answered:
    return request(Application(), method, path, body, token=token, **{**AGENT, **headers})


def test_an_agent_takes_a_job_through_its_life() -> None:
    remember_all()
    submit()
    token = issue("node", "agent", SITE)
    welcome = ask("POST", "/api/v1/agents", HELLO, token).json
    assert set(welcome) == {"agent", "heartbeat_s"}
    answer = ask("POST", f"/api/v1/agents/{welcome['agent']}/job", ASKING, token).json
    assert set(answer) == {"lease", "ask_again_s", "drain"}
    assert set(answer["lease"]) == LEASE
    given = from_plain(answer["lease"], LeasedJob)
    own = f"/api/v1/attempts/{given.attempt}"
    beat = ask("POST", f"{own}/heartbeat", BEAT, given.token).json
    assert (beat["command"], set(beat)) == ("go-on", {"command", "lease_until", "why"})
    report = msgspec.json.encode(report_of(given))  # type: ignore[arg-type]  # both have the job and the attempt
    assert ask("POST", f"{own}/report", report, given.token).json == {"accepted": True, "why": ""}
    again = ask("POST", f"/api/v1/agents/{welcome['agent']}/job", ASKING.replace(b"false", b"true"), token).json
    assert again["lease"] is None
    draining = ask("POST", "/api/v1/agents", HELLO.replace(b"active", b"gone"), token)
    assert draining.status == 200


def test_a_manager_submits_and_looks() -> None:
    remember_all()
    token = issue("boss", "manager")
    document = json.dumps({"task": {"task": task_document([raw(1, 1)])}, "leave_out": False}).encode()
    dry = ask("POST", "/api/v1/tasks/dry-run", document, token)
    assert (dry.status, dry.json["jobs"], dry.json["problems"]) == (200, 1, [])
    done = ask("POST", "/api/v1/tasks", document, token).json
    assert {name: done[name] for name in ("name", "created", "jobs")} == {"name": "t1", "created": True, "jobs": 1}
    page = ask("GET", "/api/v1/jobs?task=t1&limit=10", b"", token).json
    assert (set(page), set(page["jobs"][0])) == ({"jobs", "next"}, ROW_OF_A_JOB)
    moved = ask("POST", f"/api/v1/jobs/{page['jobs'][0]['job']}/move", b'{"to":"cancel","why":"x"}', token).json
    assert moved == {"moved": [page["jobs"][0]["job"]]}
    trail = ask("GET", f"/api/v1/events?task={done['task']}", b"", token).json
    assert set(trail["events"][0]) == {"at", "who", "subject", "subject_id", "before", "after", "why"}


@pytest.mark.parametrize(
    ("method", "path", "body", "refused", "header"),
    [
        ("GET", "/api/v1/tasks", b"", (401, "unauthorized"), ("WWW-Authenticate", "Bearer")),
        ("GET", "/api/v1/nothing", b"", (404, "not-found"), None),
        ("GET", "/api/v1/jobs/7", b"", (404, "not-found"), None),
        ("POST", "/api/v1/jobs", b"{}", (405, "not-allowed"), ("Allow", "GET, HEAD, POST")),
        ("POST", "/api/v1/jobs/1/move", b" " * 70_000, (413, "too-large"), None),
        ("POST", "/api/v1/jobs/1/move", b'{"to":1}', (422, "invalid"), None),
        ("POST", "/api/v1/tokens", b"{}", (403, "forbidden"), None),
    ],
)
def test_refusals_have_the_form_that_clients_read(
    method: str, path: str, body: bytes, refused: tuple[int, str], header: tuple[str, str] | None
) -> None:
    remember_all()
    token = "" if refused[0] == 401 else issue("somebody", "expert")
    answer = ask(method, path, body, token)
    said: dict[str, Any] = answer.json
    assert (answer.status, said["error"], set(said)) == (*refused, {"error", "message"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Cache-Control"] == "no-store"
    if header is not None:
        assert answer.headers[header[0]] == header[1]


@pytest.mark.parametrize(
    "more", [{"CONTENT_TYPE": "application/x-www-form-urlencoded"}, {"CONTENT_TYPE": ""}, {"HTTP_ACCEPT": "text/html"}]
)
def test_what_curl_says_of_its_body_does_not_matter(more: dict[str, str]) -> None:
    remember_all()
    answer = ask("POST", "/api/v1/agents", HELLO, issue("node", "agent", SITE), HTTP_HOST="some.other.name", **more)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")


def test_tasks_are_listed_without_the_fields_that_came_later() -> None:
    remember_all()
    submit()
    token = issue("maria", "manager")
    for path in ("/api/v1/tasks", "/api/v1/tasks/1"):
        told = ask("GET", path, token=token)
        now = ask("GET", path, token=token, HTTP_USER_AGENT="pilotext/0.1.0")
        assert (told.status, now.status) == (200, 200)
        assert "to_decide" not in told.body.decode()
        assert "needs_person" not in told.body.decode()
        assert "to_decide" in now.body.decode()


def test_a_reason_with_a_word_that_came_later_has_a_former_one() -> None:
    remember_all()
    submit_task(generation(parameters={**PARAMETERS, "template": "t.xml"}))
    done = submit_task(reconstruction())
    token = issue("maria", "manager")
    path = f"/api/v1/tasks/{done.task}"
    told = ask("GET", path, token=token).json
    now = ask("GET", path, token=token, HTTP_USER_AGENT="pilotext/0.1.0").json
    assert [wait["kind"] for wait in told["waits"] if "of task mc1" in wait["what"]] == ["chunks"]
    assert [wait["kind"] for wait in now["waits"] if "of task mc1" in wait["what"]] == ["inputs"]
    assert ("inputs_of" in told, now["inputs_of"]) == (False, "mc of task mc1")
    body = json.dumps({"task": {"task": reconstruction()}, "leave_out": False}).encode()
    assert "to_come" not in ask("POST", "/api/v1/tasks/dry-run", body, token).json


def test_a_preview_has_the_fields_that_it_had() -> None:
    remember_all()
    submit()
    token = issue("maria", "manager")
    body = b'{"jobs":{"state":"ready"},"all_tasks":true,"to":"cancel","why":"a trial","dry_run":true}'
    told = ask("POST", "/api/v1/jobs/move", body, token=token)
    assert told.status == 200, told.body
    assert set(told.json["preview"]) == {"jobs", "counts", "first"}
