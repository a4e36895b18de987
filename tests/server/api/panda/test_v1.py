"""The envelope of the pilot protocol since 1.0: what is served and refused, with the results of the legacy one."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError

from pilotext.model.job import Job as WorkerJob
from pilotext.server.boot import boot

boot()

from pilotext.serialization.json import from_json  # noqa: E402  needs boot
from pilotext.server.api import auth  # noqa: E402
from pilotext.server.api.panda.urls import PANDA_PATHS  # noqa: E402
from pilotext.server.api.panda.v1 import FUNCTIONS  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.dispatch.leases import expire_leases  # noqa: E402
from pilotext.server.production.models import Attempt, AuditEntry, Job, Token  # noqa: E402
from pilotext.server.production.refusal import RefusalError  # noqa: E402
from pilotext.server.times import earlier, later, now  # noqa: E402
from tests.server.api.panda.pilots import NewPilot, Pilot, plain  # noqa: E402
from tests.server.calls import Answered, operations, request  # noqa: E402
from tests.server.support import SITE, events, leased, raw, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")

GOOD: dict[str, Any] = {
    "site_name": SITE,
    "job_id": 1,
    "job_status": "running",
    "job_list": [],
    "worker_id": 7,
    "harvester_id": "compass",
    "status": "started",
    "site": "CERN",
    "host_name": "slot1@wn1",
    "cpu_model": "AMD EPYC 7351",
    "vendor": "NVIDIA",
    "model": "A100",
    "count": 1,
    "job_ids": 1,
}
"""A good value of each field that some function needs."""


def call(pilot: Pilot, method: str, name: str, body: bytes = b"", query: str = "", **more: str) -> Answered:
    more = {"CONTENT_TYPE": "application/json", "token": pilot.token, **more}
    return request(pilot.application, method, f"/api/v1/{name}?{query}", body, **more)


def envelope(success: bool, message: str = "", data: Any = None) -> dict[str, Any]:
    return {"success": success, "message": message, "data": data}


def whole_life(pilot: Pilot, node: str) -> dict[str, Any]:
    """What a job leaves on the server whose pilot takes it, works, reports and says its last word."""
    job = pilot.get_job(node=f"slot1@{node}")
    shown = {name: value for name, value in job.items() if name not in ("PandaID", "jobPars", "jobName")}
    answers = [pilot.update(job, "starting"), pilot.update(job, "running")]
    whole = from_json(pilot.fetch(job).body, WorkerJob)
    answers += [pilot.report(whole).json, pilot.update(job, "running")]
    answers.append(pilot.update(job, "finished", pilotErrorCode=0, transExitCode=0, metaData="{}"))
    attempt = Attempt.objects.select_related("job").get(pk=job["PandaID"])
    return {
        "job": {name: shown[name] for name in shown if name not in ("jobDefinitionID", "jobsetID")},
        "answers": answers,
        "states": (attempt.state, attempt.verdict, attempt.job.state, attempt.number),
        "said": attempt.pilot_said,
        "lease": attempt.lease_s,
        "moves": events("attempt", attempt.pk),
        "who": {*AuditEntry.objects.filter(subject="attempt", subject_id=attempt.pk).values_list("who", flat=True)},
    }


def test_a_whole_life_by_either_protocol_leaves_the_same() -> None:
    submit([raw(1, 11), raw(1, 12)])
    old, new = whole_life(Pilot(), "wn1"), whole_life(NewPilot(), "wn1")
    assert new == old
    assert new["states"] == ("finished", "success", "finished", 1)


def test_a_death_by_either_protocol_leaves_the_same() -> None:
    submit([raw(1, 11), raw(1, 12)])
    said = {
        "pilotErrorCode": 1201,
        "pilotErrorDiag": "SIGTERM",
        "transExitCode": 143,
        "exeErrorCode": 7,
        "exeErrorDiag": "it was ended",
        "metaData": json.dumps({"pilotext": {"code": "COMPASS-9999"}}),
        "batchID": "4711.0",
    }
    for pilot in (Pilot(), NewPilot()):
        pilot.update(pilot.get_job(), "failed", **said)
    Attempt.objects.update(lease_until=earlier(now(), 1))
    expire_leases()
    fields = ("state", "verdict", "code", "cause", "diag", "pilot_said", "job__state", "decision")
    old, new = Attempt.objects.order_by("pk").values(*fields)
    assert new == old
    assert all(new["pilot_said"].values()), "every field was read"
    assert (new["code"], new["cause"], new["job__state"]) == ("COMPASS-5208", "evicted", "ready")


def test_a_pilot_gets_one_job_however_many_it_asks_for() -> None:
    submit([raw(1, chunk) for chunk in (11, 12, 13)])
    pilot = NewPilot()
    assert pilot.get_job(n_jobs=3)["StatusCode"] == 0
    assert Attempt.objects.count() == 1


def test_no_job_is_an_answer_and_no_error() -> None:
    pilot = NewPilot()
    answer = pilot.call("pilot/acquire_jobs", site_name=SITE)
    assert (answer.status, answer.json) == (200, envelope(False, "No jobs in PanDA"))
    answer = pilot.call("pilot/acquire_jobs", site_name="MOON")
    assert (answer.status, answer.json) == (200, envelope(False, "there is no queue 'MOON'"))


def test_a_token_for_one_queue_gets_no_jobs_of_another() -> None:
    submit()
    bound = NewPilot(label="texas", site="FRONTERA_COMPASS_TEST")
    told = bound.call("pilot/acquire_jobs", site_name=SITE).json
    assert told == envelope(False, f"this token is for another queue than {SITE!r}.")
    assert bound.get_job(siteName="FRONTERA_COMPASS_TEST")["StatusCode"] == 0


# -------------------------------------------------------------------------------------------------------------- updates


@pytest.mark.parametrize("state", ["", "sent", "done", "x" * 100, "None"])
def test_a_state_that_no_pilot_may_say_changes_nothing(state: str) -> None:
    submit()
    pilot = NewPilot()
    job = pilot.get_job()
    told = pilot.call("pilot/update_job", job_id=job["PandaID"], job_status=state).json
    assert (told["success"], told["data"]) == (False, {"StatusCode": 50} if state else None)
    assert "job_status" in told["message"]
    assert Attempt.objects.get().state == "leased"


@pytest.mark.parametrize("state", ["starting", "running", "transferring"])
def test_a_state_on_the_way_is_a_heartbeat(state: str) -> None:
    submit()
    pilot = NewPilot()
    job = pilot.get_job()
    Attempt.objects.update(lease_until=later(now(), 1))
    assert pilot.update(job, state) == {"StatusCode": 0, "command": "NULL"}
    attempt = Attempt.objects.get()
    assert (attempt.state, attempt.pilot_said) == ("running", {})
    assert attempt.lease_until > later(now(), 7000)


def test_updates_in_bulk_are_answered_one_by_one() -> None:
    submit()
    pilot = NewPilot()
    job = pilot.get_job()["PandaID"]
    good = {"job_id": job, "job_status": "running"}
    others = [{"job_id": "x", "job_status": "running"}, {"job_id": job}, {"job_id": 999, "job_status": "failed"}]
    told = pilot.call("pilot/update_jobs_bulk", job_list=[*others, good]).json
    assert told["success"] is True
    assert [each["success"] for each in told["data"]] == [False, False, False, True]
    assert told["data"][0] == envelope(False, "job_id is not a number.")
    assert told["data"][1] == envelope(False, "the request lacks job_status.")
    assert told["data"][2] == envelope(False, "this pilot has no such job.", {"StatusCode": 70})
    assert told["data"][3] == envelope(True, data={"StatusCode": 0, "command": "NULL"})
    assert Job.objects.get().state == "running"


@pytest.mark.parametrize("jobs", ["[]", {"job_id": 1}, [1], [{"job_id": 1, "job_status": "running"}] * 1001])
def test_what_is_no_list_of_updates_is_refused(jobs: Any) -> None:
    told = NewPilot(plain).call("pilot/update_jobs_bulk", job_list=jobs)
    assert (told.status, told.json["success"], told.json["data"]) == (200, False, None)


def test_a_pilot_cannot_speak_for_an_attempt_of_an_agent() -> None:
    submit()
    given = leased()
    pilot = NewPilot()
    told = pilot.call("pilot/update_job", job_id=given.attempt, job_status="failed").json
    assert told == envelope(False, "this pilot has no such job.", {"StatusCode": 70})
    assert call(pilot, "GET", "pilot/get_job_status", query=f"job_ids={given.attempt}").json["data"] == [
        {"job_id": given.attempt, "status": "not found", "attempt_number": 0}
    ]


def test_a_pilot_learns_how_its_jobs_stand() -> None:
    submit()
    pilot = NewPilot()
    job = pilot.get_job()
    number = job["PandaID"]

    def told(query: str) -> Any:
        return call(pilot, "GET", "pilot/get_job_status", query=query).json

    sent = {"job_id": number, "status": "sent", "attempt_number": 1}
    assert told(f"job_ids={number}&timeout=60") == envelope(True, data=[sent])
    pilot.update(job, "running")
    unknown = {"job_id": 999, "status": "not found", "attempt_number": 0}
    assert told(f"job_ids=999&job_ids={number}") == envelope(True, data=[unknown, {**sent, "status": "running"}])
    assert told("job_ids=mine") == envelope(False, "job_ids is not a number.")
    stranger = NewPilot(label="stranger")
    answer = call(stranger, "GET", "pilot/get_job_status", query=f"job_ids={number}")
    assert [each["status"] for each in answer.json["data"]] == ["not found"]


# ------------------------------------------------------------------------------------------------------ other functions


@pytest.mark.parametrize("state", ["started", "finished"])
def test_a_pilot_says_that_it_begins_and_ends(state: str) -> None:
    said = {"worker_id": "7", "harvester_id": "compass", "status": state, "node_id": "wn1"}
    assert NewPilot().call("pilot/update_worker_status", **said).json == envelope(True)
    told = NewPilot().call("pilot/update_worker_status", **{**said, "status": "waiting"}).json
    assert (told["success"], "started, finished" in told["message"]) == (False, True)


@pytest.mark.parametrize("name", ["pilot/update_worker_node", "pilot/update_worker_node_gpu"])
def test_a_node_may_describe_itself_and_nothing_is_kept(name: str) -> None:
    said = {needed: GOOD[needed] for needed in FUNCTIONS[name].needs}
    assert NewPilot().call(name, **said).json == envelope(True, "this server keeps no descriptions of nodes.")


@pytest.mark.parametrize("name", ["get_key_pair", "get_proxy", "get_access_token", "get_token_key"])
def test_credentials_that_the_server_does_not_have_are_refused_with_the_reason(name: str) -> None:
    answer = call(NewPilot(), "GET", f"creds/{name}", query="role=production&client_name=x")
    assert (answer.status, answer.json["success"], answer.json["data"]) == (200, False, None)
    assert answer.json["message"].startswith("this server has no ")


def test_the_list_of_resource_types_is_empty() -> None:
    assert call(NewPilot(), "GET", "metaconfig/get_resource_types").json == envelope(True, data=[])


def test_the_server_is_alive_for_anybody() -> None:
    answer = call(NewPilot(), "GET", "system/is_alive", token="")
    assert (answer.status, answer.json) == (200, envelope(True))


# ------------------------------------------------------------------------------------------------------------- refusals


def test_another_method_is_refused_in_the_envelope() -> None:
    pilot = NewPilot()
    for name, function in FUNCTIONS.items():
        (method,) = {"GET", "POST"} - {function.method}
        answer = call(pilot, method, name, b"{}" if method == "POST" else b"")
        assert answer.status == 200, name
        assert answer.json == envelope(False, f"{method} is not for this function; call it with {function.method}.")


@pytest.mark.parametrize("absent", [{}, {"value": None}, {"value": ""}])
def test_a_missing_field_is_named(absent: dict[str, Any]) -> None:
    pilot = NewPilot(plain)
    needed_fields = [(name, needed) for name, function in FUNCTIONS.items() for needed in function.needs]
    assert len(needed_fields) >= 14
    for name, needed in needed_fields:
        fields = {each: GOOD[each] for each in FUNCTIONS[name].needs if each != needed}
        if absent:
            fields[needed] = absent["value"]
        if FUNCTIONS[name].method == "POST":
            answer = pilot.call(name, **fields)
        else:
            answer = call(pilot, "GET", name, query=f"{needed}=" if needed in fields else "")
        assert (answer.status, answer.json) == (200, envelope(False, f"the request lacks {needed}.")), name


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"[]", 422),
        (b"\x1f\x8b damaged", 422),
        (gzip.compress(b'{"job_id": 1}', mtime=0)[:-6], 422),
        (b"x" * (3 << 20), 413),
        (gzip.compress(b"x" * (30 << 20), mtime=0), 413),
    ],
)
def test_a_body_that_cannot_be_read_has_an_error_status_and_a_reason(body: bytes, status: int) -> None:
    """A pilot sends again what was answered with an error status: the body may have been damaged on its way."""
    answer = call(NewPilot(), "POST", "pilot/update_job", body)
    assert answer.status == status
    assert (answer.json["success"], answer.json["data"], bool(answer.json["message"])) == (False, None, True)


def test_a_query_with_too_many_fields_is_refused() -> None:
    answer = call(NewPilot(), "GET", "pilot/get_job_status", query="&".join(["job_ids=1"] * 101))
    assert (answer.status, answer.json["success"]) == (422, False)


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("viewer", 403), ("expert", 403), ("manager", 403)])
def test_only_a_pilots_token_is_admitted(role: str | None, status: int) -> None:
    submit()
    pilot = NewPilot()
    token = issue("somebody", role) if role else ""
    for name in sorted({*FUNCTIONS} - {"system/is_alive"}):
        auth.forget()
        answer = call(pilot, FUNCTIONS[name].method, name, token=token)
        assert answer.status == status, name
        assert (answer.json["success"], answer.json["data"], bool(answer.json["message"])) == (False, None, True)
    assert Attempt.objects.count() == 0


def test_a_revoked_pilot_gets_no_more_jobs() -> None:
    submit()
    pilot = NewPilot()
    Token.objects.update(revoked=now())
    auth.forget()
    assert pilot.get_job()["StatusCode"] == 401
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("name", ["pilot/get_job", "pilot/", "creds/set_user_secrets", "metaconfig/get_site_specs"])
def test_a_function_that_is_not_served_is_refused_in_the_envelope(name: str) -> None:
    answer = call(NewPilot(), "POST", name, b"{}")
    assert (answer.status, answer.json["success"]) == (404, False)


@pytest.mark.parametrize("name", ["harvester/update_workers", "job/submit"])
def test_the_rest_of_pandas_interface_is_none_of_ours(name: str) -> None:
    answer = call(NewPilot(), "POST", name, b"{}")
    assert (answer.status, answer.json["error"]) == (404, "not-found")


def test_no_operation_of_our_interface_has_an_address_of_pilots() -> None:
    assert {*PANDA_PATHS} >= {"/server/panda/", "/api/v1/pilot/"}
    assert [each.path for each in operations() if each.path.startswith(PANDA_PATHS)] == []


@pytest.mark.parametrize("error", [ZeroDivisionError(), OperationalError("locked"), RefusalError("busy", "again")])
def test_what_the_server_could_not_do_is_no_envelope(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A pilot takes every JSON object for success, and would never send its last word again."""
    submit()
    pilot = NewPilot()
    job = pilot.get_job()

    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr("pilotext.server.api.panda.handlers.hear_last", failing)
    last = {"job_id": job["PandaID"], "job_status": "finished"}
    for answer in (pilot.call("pilot/update_job", **last), pilot.call("pilot/update_jobs_bulk", job_list=[last])):
        assert answer.status in (500, 503)
        with pytest.raises(json.JSONDecodeError):
            _ = answer.json


def test_the_wrapper_finds_the_same_address_of_its_job() -> None:
    submit([raw(1, 11), raw(1, 12)])
    addresses = [urlsplit(pilot.get_job()["jobPars"].split()[1]) for pilot in (Pilot(), NewPilot())]
    assert [address.path for address in addresses] == ["/api/v1/attempts/1/job", "/api/v1/attempts/2/job"]
