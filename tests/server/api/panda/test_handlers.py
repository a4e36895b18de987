"""What a pilot sends and gets: in the encodings of the legacy protocol, and by the functions of servers since 1.0."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from pilotext.api.schemas.attempts import OUTPUTS_KEPT
from pilotext.model.job import Job as WorkerJob
from pilotext.server.boot import boot

boot()


from pilotext.serialization.json import from_json  # noqa: E402  needs boot
from pilotext.server.api.agents import dispatcher  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.dispatch import tickets  # noqa: E402
from pilotext.server.production.dispatch.leases import expire_leases  # noqa: E402
from pilotext.server.production.models import Attempt, AuditEntry, Job, Token  # noqa: E402
from pilotext.server.production.profiles import profile_of  # noqa: E402
from pilotext.server.production.transitions import Reason, cancel_jobs  # noqa: E402
from pilotext.server.times import EPOCH, earlier, later, now  # noqa: E402
from tests.server.api.panda.pilots import Encoding, NewPilot, Pilot, form, gzipped, plain  # noqa: E402
from tests.server.calls import request  # noqa: E402
from tests.server.support import SITE, avoid, events, raw, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(params=[(Pilot, form), (Pilot, gzipped), (Pilot, plain), (NewPilot, gzipped)])
def pilot(request: pytest.FixtureRequest) -> Pilot:
    submit([raw(1, 11)])
    kind, encoding = request.param
    made: Pilot = kind(encoding)
    return made


@pytest.fixture(params=[form, gzipped, plain])
def legacy_pilot(request: pytest.FixtureRequest) -> Pilot:
    submit([raw(1, 11)])
    return Pilot(request.param)


def the_attempt() -> Attempt:
    return Attempt.objects.select_related("job").latest("pk")


def the_pilots_time_is_over() -> None:
    Attempt.objects.update(lease_until=earlier(now(), 1))
    expire_leases()


def test_a_pilot_takes_a_job_and_its_wrappers_report_decides(pilot: Pilot) -> None:
    job = pilot.get_job()
    assert (job["StatusCode"], job["PandaID"], job["attemptNr"]) == (0, the_attempt().pk, 1)
    assert job["transformation"].endswith("/trf/pilotext-trf")
    assert pilot.update(job, "starting") == {"StatusCode": 0, "command": "NULL"}
    assert the_attempt().job.state == "running"
    whole = from_json(pilot.fetch(job).body, WorkerJob)
    assert (whole.panda_id, whole.attempt) == (the_attempt().pk, 1)
    assert pilot.report(whole).json == {"accepted": True, "why": ""}
    pilot.update(job, "running")
    assert pilot.update(job, "finished", pilotErrorCode="0", transExitCode="0") == {"StatusCode": 0, "command": "NULL"}
    assert (the_attempt().state, the_attempt().job.state) == ("finished", "finished")
    assert the_attempt().node == "wn1"
    assert pilot.get_job()["StatusCode"] == 20


def test_a_heartbeat_renews_the_lease_of_two_hours(pilot: Pilot) -> None:
    job = pilot.get_job()
    assert the_attempt().lease_s == 7200
    Attempt.objects.update(lease_until=later(now(), 1))
    pilot.update(job, "running")
    assert the_attempt().lease_until > later(now(), 7000)


def test_a_pilot_is_told_to_kill_a_job_that_was_cancelled(pilot: Pilot) -> None:
    job = pilot.get_job()
    pilot.update(job, "running")
    from pilotext.server.database import transact

    transact(lambda: cancel_jobs(Job.objects.all(), Reason("maria", "not needed", "person")))
    assert pilot.update(job, "running")["command"] == "tobekilled"
    pilot.update(job, "failed", pilotErrorCode=1144)
    the_pilots_time_is_over()
    assert (the_attempt().state, the_attempt().code, the_attempt().job.state) == (
        *("cancelled", "COMPASS-5203"),
        "cancelled",
    )


def test_a_job_that_somebody_else_has_is_to_be_killed(pilot: Pilot) -> None:
    job = pilot.get_job()
    the_pilots_time_is_over()
    Job.objects.update(not_before=EPOCH)
    avoid({})
    dispatcher.forget()
    other = pilot.get_job(node="wn2")
    assert other["PandaID"] != job["PandaID"]
    assert pilot.update(job, "running")["command"] == "tobekilled"
    assert pilot.update(other, "running")["command"] == "NULL"


OURS = {"pilotext": {"state": "failed", "code": "COMPASS-1241", "cause": "memory", "later": 1}}


@pytest.mark.parametrize(
    ("said", "code", "cause", "state"),
    [
        ({"state": "finished"}, "COMPASS-5201", "incomplete", "ready"),
        ({"state": "failed", "pilotErrorCode": 1305, "transExitCode": 66}, "COMPASS-5202", "unknown", "ready"),
        ({"state": "failed", "pilotErrorCode": 1201, "pilotErrorDiag": "SIGTERM"}, "COMPASS-5208", "evicted", "ready"),
        ({"state": "failed", "pilotErrorCode": 1204}, "COMPASS-5203", "killed", "ready"),
        ({"state": "failed", "pilotErrorCode": 1104}, "COMPASS-5204", "limit", "ready"),
        ({"state": "failed", "pilotErrorCode": 1212}, "COMPASS-5205", "memory", "ready"),
        ({"state": "failed", "pilotErrorCode": 1098}, "COMPASS-5206", "software-setup", "ready"),
        ({"state": "failed", "pilotErrorCode": 1149}, "COMPASS-5207", "software-setup", "ready"),
        ({"state": "failed", "pilotErrorCode": 1305, "transExitCode": 64}, "COMPASS-5207", "software-setup", "ready"),
        ({"state": "failed", "pilotErrorCode": 1305, "transExitCode": 0}, "COMPASS-5202", "unknown", "ready"),
        ({"state": "failed", "pilotErrorCode": -1137}, "COMPASS-5202", "unknown", "ready"),
        ({"state": "failed", "pilotErrorCode": 1305, "exeErrorCode": 581241}, "COMPASS-1241", "memory", "ready"),
        ({"state": "failed", "pilotErrorCode": 1305, "metaData": json.dumps(OURS)}, "COMPASS-1241", "memory", "ready"),
        (
            {
                "state": "failed",
                "pilotErrorCode": 1305,
                "pilotErrorDiag": "Failed to execute payload:COMPASS-1243 calibration-empty: no file of HM04",
            },
            *("COMPASS-1243", "calibration", "manual"),
        ),
        ({"state": "failed", "pilotErrorCode": "None", "metaData": "[" * 9999}, "COMPASS-5202", "unknown", "ready"),
    ],
)
def test_what_the_pilot_alone_says_ends_in_a_decided_verdict(
    pilot: Pilot, said: dict[str, Any], code: str, cause: str, state: str
) -> None:
    """Known problem 2 of the legacy system: a status of 255 came as 0, which was taken for success."""
    job = pilot.get_job()
    pilot.update(job, **said)
    pilot.update(job, **said)  # it sends it again when the answer was lost
    assert the_attempt().state == "leased", "a report may still come"
    assert the_attempt().lease_until < later(now(), 100), "but not for two hours"
    the_pilots_time_is_over()
    attempt = the_attempt()
    assert (attempt.verdict, attempt.code, attempt.cause, attempt.job.state) == ("failure", code, cause, state)
    assert attempt.diag.startswith(f"{code} ")
    assert attempt.diag.isascii()
    assert attempt.decision
    assert [after for _, after in events("attempt", attempt.pk)] == ["leased", "leased", "lost"], "given, ended, lost"


def test_a_report_that_comes_after_the_pilots_word_counts_until_the_job_is_sent_again(pilot: Pilot) -> None:
    job = pilot.get_job()
    whole = from_json(pilot.fetch(job).body, WorkerJob)
    pilot.update(job, "finished")
    the_pilots_time_is_over()
    assert the_attempt().job.state == "ready"
    assert pilot.report(whole).json["accepted"] is True
    assert (the_attempt().state, the_attempt().job.state) == ("finished", "finished")


@pytest.mark.fault("dispatch", "a pilot repeats an unanswered heartbeat after it has said that its job failed")
def test_a_heartbeat_after_the_pilots_last_word_neither_renews_the_lease_nor_takes_the_job_back(pilot: Pilot) -> None:
    job = pilot.get_job()
    pilot.update(job, "running")
    pilot.update(job, "failed", pilotErrorCode="1305")
    assert pilot.update(job, "running") == {"StatusCode": 0, "command": "NULL"}
    assert the_attempt().lease_until < later(now(), 100)
    the_pilots_time_is_over()
    pilot.update(job, "running")
    assert (the_attempt().state, the_attempt().job.state) == ("lost", "ready")


@pytest.mark.fault(
    "report", "a pilot's heartbeat comes between the word of its wrapper that outputs are kept and its last one"
)
def test_a_pilots_heartbeat_does_not_take_back_that_outputs_are_kept(pilot: Pilot) -> None:
    job = pilot.get_job()
    Attempt.objects.update(phase=OUTPUTS_KEPT, state="running")
    pilot.update(job, "running")
    assert the_attempt().phase == OUTPUTS_KEPT
    pilot.update(job, "failed", pilotErrorCode="1305")
    assert the_attempt().lease_until > later(now(), 7000)


def test_updates_in_bulk_are_answered_one_by_one(legacy_pilot: Pilot) -> None:
    job = legacy_pilot.get_job()
    updates = [{"jobId": job["PandaID"], "state": "running"}, {"jobId": "x", "state": "running"}, {"jobId": 999}]
    well, answers = legacy_pilot.send("updateJobsInBulk", jobList=json.dumps(updates)).json
    assert well is False
    assert [answer["StatusCode"] for answer in answers] == [0, 80, 70]
    assert legacy_pilot.send("updateJobsInBulk", jobList="{").status == 422


def test_the_job_parameters_hold_a_ticket_and_no_token_of_the_attempt(pilot: Pilot) -> None:
    job = pilot.get_job()
    first = from_json(pilot.fetch(job, "mine").body, WorkerJob)
    second = from_json(pilot.fetch(job, "mine").body, WorkerJob)
    assert first.report is not None
    assert second.report is not None
    assert first.report.token not in json.dumps(job)
    assert pilot.report(first).status == 403, "a token is good until the ticket is used again"
    assert pilot.report(second).status == 200


@pytest.mark.parametrize("claims", [("mine", "another"), ("mine", ""), ("", ""), ("", "another")])
def test_a_ticket_that_somebody_reads_after_its_use_is_worth_nothing(pilot: Pilot, claims: tuple[str, str]) -> None:
    job = pilot.get_job()
    mine = from_json(pilot.fetch(job, claims[0]).body, WorkerJob)
    assert pilot.fetch(job, claims[1]).status == 403
    assert pilot.report(mine).status == 200, "the token of the first is good still"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"leased": -tickets.GOOD_FOR_S - 1}, 403),
        ({"fetched": -tickets.AGAIN_WITHIN_S - 1}, 403),
        ({"stop": "cancelled"}, 409),
        ({"state": "lost"}, 409),
        ({"ticket": ""}, 403),
    ],
)
def test_a_ticket_is_soon_worth_nothing(pilot: Pilot, change: dict[str, Any], status: int) -> None:
    job = pilot.get_job()
    at = now()
    Attempt.objects.update(
        **{name: later(at, value) if isinstance(value, float) else value for name, value in change.items()}
    )
    assert pilot.fetch(job).status == status


def test_a_pilot_cannot_speak_for_the_jobs_of_another(pilot: Pilot) -> None:
    job = pilot.get_job()
    stranger = type(pilot)(label="stranger")
    assert stranger.update(job, "failed", pilotErrorCode=1305)["StatusCode"] == 70
    assert the_attempt().pilot_said == {}


def test_a_pilot_cannot_speak_for_an_attempt_of_an_agent(legacy_pilot: Pilot) -> None:
    from tests.server.support import leased

    given = leased()
    assert legacy_pilot.send("updateJob", jobId=given.attempt, state="failed").status == 403


@pytest.mark.parametrize(("role", "status", "code"), [(None, 401, 50), ("viewer", 403, 70), ("manager", 403, 70)])
def test_only_a_pilots_token_gets_jobs(legacy_pilot: Pilot, role: str | None, status: int, code: int) -> None:
    token = issue("somebody", role) if role else ""
    answer = legacy_pilot.send("getJob", token=token, siteName=SITE)
    assert (answer.status, answer.json["StatusCode"]) == (status, code)
    assert Attempt.objects.count() == 0


def test_a_token_for_one_queue_gets_no_jobs_of_another(pilot: Pilot) -> None:
    bound = Pilot(label="texas", site="FRONTERA_COMPASS_TEST")
    assert bound.get_job()["StatusCode"] == 70
    assert bound.get_job(siteName="FRONTERA_COMPASS_TEST")["StatusCode"] == 0


def test_a_queue_that_nobody_knows_has_no_jobs(pilot: Pilot) -> None:
    assert pilot.get_job(siteName="MOON")["StatusCode"] == 20


def test_a_mistake_of_the_server_is_answered_so_that_the_pilot_says_it_again(
    legacy_pilot: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pilot takes every JSON object for success, and would never send its last word again."""
    job = legacy_pilot.get_job()
    with monkeypatch.context() as broken:
        broken.setattr("pilotext.server.api.panda.handlers.hear_last", lambda *_: 1 / 0)
        answer = legacy_pilot.send("updateJob", jobId=job["PandaID"], state="finished")
    assert answer.status == 500
    with pytest.raises(ValueError, match="Expecting value"):
        _ = answer.json


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"jobId": {"x": 1}}', "application/json", 422),
        (b"jobId=-1&state=running", "application/x-www-form-urlencoded", 422),
        (b"jobId=%ff", "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a=1" for _ in range(2000)), "application/x-www-form-urlencoded", 422),
        (b"x" * (3 << 20), "application/x-www-form-urlencoded", 413),
        (gzip.compress(b"x" * (30 << 20), mtime=0), "application/json", 413),
        (gzip.compress(b'{"jobId": 1}', mtime=0)[:-6], "application/json", 422),
        (b"\x1f\x8b damaged", "application/json", 422),
    ],
)
def test_a_request_that_no_pilot_sends_is_refused(body: bytes, kind: str, status: int) -> None:
    pilot = Pilot()
    answer = request(pilot.application, "POST", "/server/panda/updateJob", body, token=pilot.token, CONTENT_TYPE=kind)
    assert answer.status == status


def test_a_pilot_passes_on_the_batch_job_that_a_factory_has_started(pilot: Pilot) -> None:
    submit()
    pilot.get_job(harvester_id="f1.pilots", worker_id="17_1")
    assert Attempt.objects.get().batch_job == "f1.pilots.17_1"


@pytest.mark.parametrize("fields", [{}, {"harvester_id": "f1.pilots"}, {"worker_id": "17_1"}])
def test_a_pilot_that_nobody_told_of_its_batch_job_has_none(pilot: Pilot, fields: dict[str, str]) -> None:
    submit()
    pilot.get_job(**fields)
    assert Attempt.objects.get().batch_job == ""


def test_a_pilot_gets_no_job_that_is_longer_than_the_rest_of_its_time(pilot: Pilot) -> None:
    wall_s = profile_of("COMPASS").job_types["mass production"].limits.wall_s
    assert wall_s is not None
    assert pilot.get_job(remaining_time=wall_s - 1)["StatusCode"] == 20
    assert pilot.get_job(remaining_time=wall_s + 1)["StatusCode"] == 0


@pytest.mark.parametrize("unknown", [0, -1, None, "soon", "nan", "inf"])
def test_a_rest_of_time_that_is_none_keeps_no_job_away(pilot: Pilot, unknown: Any) -> None:
    assert pilot.get_job(remaining_time=unknown)["StatusCode"] == 0


def test_a_pilot_learns_how_its_jobs_stand() -> None:
    submit()
    pilot = Pilot()
    job = pilot.get_job()["PandaID"]
    assert pilot.send("getStatus", ids=job).json == {"StatusCode": 0, "status": "sent", "attemptNr": "1"}
    pilot.send("updateJob", jobId=job, state="running")
    told = pilot.send("getStatus", ids=f"999,{job}").json
    assert told == {"StatusCode": 0, "status": "notfound,running", "attemptNr": "0,1"}
    assert Pilot(label="stranger").send("getStatus", ids=job).json["status"] == "notfound"
    assert pilot.send("getStatus", ids="mine").status == 422


def test_what_else_a_pilot_asks_is_answered() -> None:
    pilot = Pilot()
    assert request(pilot.application, "GET", "/server/panda/isAlive").body == b"alive=yes"
    assert pilot.send("updateWorkerPilotStatus", status="started").json["StatusCode"] == 0
    assert pilot.send("getResourceTypes").json["ResourceTypes"] == []
    assert pilot.send("getStatus", ids="1").json["StatusCode"] == 0
    assert pilot.send("getProxy").status == 404


def test_a_revoked_pilot_gets_no_more_jobs(legacy_pilot: Pilot) -> None:
    from pilotext.server.api import auth

    Token.objects.update(revoked=now())
    auth.forget()
    assert legacy_pilot.get_job()["StatusCode"] == 50
    assert not AuditEntry.objects.filter(subject="attempt").exists()


@pytest.mark.parametrize("encoding", [plain, gzipped])
def test_a_pilots_last_word_is_taken_whatever_its_texts_hold(encoding: Encoding) -> None:
    submit()
    pilot = Pilot(encoding)
    job = pilot.get_job()
    said: dict[str, Any] = {
        "state": "failed",
        "pilotErrorCode": 1305,
        "pilotErrorDiag": "it wrote \ud800 and \0",
        "metaData": "\udcff",
    }
    assert pilot.update(job, **said)["StatusCode"] == 0
    assert the_attempt().pilot_said["pilot_diag"] == "it wrote \ufffd and \ufffd"
    (bulk,) = pilot.send("updateJobsInBulk", jobList=json.dumps([{"jobId": job["PandaID"], **said}])).json[1]
    assert bulk["StatusCode"] == 0
