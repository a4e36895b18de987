"""What the server says of a task before it is submitted: whose its names are, and who would take its jobs."""

from __future__ import annotations

import json

import pytest
from django.core.handlers.wsgi import WSGIHandler as Application

from pilotext.api.schemas.tasks import DryRun
from pilotext.server.database import transact
from pilotext.server.production.access.tokens import issue
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Agent, Job, PublishedFile, Site, Task
from pilotext.server.production.profiles import profile_of, remember_all
from pilotext.server.production.submission.document import from_plain
from pilotext.server.production.submission.dry_run import dry_run
from pilotext.server.production.submission.plan import make_plan
from pilotext.server.times import EPOCH
from tests.server.calls import Answered, request
from tests.server.support import PARAMETERS, SITE, WHY, leased, raw, site, submit, task_document

pytestmark = pytest.mark.usefixtures("database")


def asked(*files: str, **fields: object) -> DryRun:
    whole = from_plain({"task": task_document(files or (raw(1, 11),), **{"parameters": PARAMETERS, **fields})})
    experiment = profile_of("COMPASS")
    before = (Task.objects.count(), Job.objects.count(), PublishedFile.objects.count())
    told = dry_run(experiment, whole.task, make_plan(experiment, whole, lambda _: ()))
    assert (Task.objects.count(), Job.objects.count(), PublishedFile.objects.count()) == before, "nothing is stored"
    return told


def test_a_dry_run_tells_the_names_that_belong_to_another_task() -> None:
    submit([raw(1, 1)], merges=None)
    told = asked(raw(1, 1), raw(1, 2), name="t2", merges=None)
    assert (told.taken_count, told.names) == (3 + 6 + 1 + 1, 6 + 6 + 1 + 1)
    assert {each.task for each in told.taken} == {"t1"}
    assert [each.job for each in told.taken if "/mDST.chunks/" in each.url] == [1]
    assert told.problems == ()


def test_the_same_task_again_has_its_own_names() -> None:
    submit([raw(1, 1)])
    told = asked(raw(1, 1))
    assert (told.taken_count, told.problems) == (0, ())


def test_a_successor_is_told_whether_it_may_replace_the_other() -> None:
    submit([raw(1, 1)])
    told = asked(raw(1, 1), name="t2", replaces="t1")
    assert (told.taken_count, len(told.problems)) == (0, 1)
    assert "t1 is running" in told.problems[0]
    transact(lambda: move_task(Task.objects.get().pk, "cancel", WHY))
    Job.objects.update(state="cancelled")
    assert asked(raw(1, 1), name="t2", replaces="t1").problems == ()
    assert asked(raw(1, 1), name="t2", replaces="t0").problems == ("there is no task 't0' to replace.",)


def test_another_task_of_that_name_and_a_missing_parent_are_told() -> None:
    submit([raw(1, 1)])
    told = asked(raw(1, 2), parent="nobody")
    assert [words.partition(";")[0] for words in told.problems] == [
        "there is another task 't1' already",
        "there is no task 'nobody', which should be the parent.",
    ]


def test_a_site_where_nobody_asks_for_jobs_is_told_and_one_with_an_agent_is_not() -> None:
    nobody = f"no agent or pilot was active at {SITE} in the last 60 minutes."
    assert asked(sites=[SITE]).warnings == (nobody,)
    Agent.objects.create(name="a", site=site())
    assert asked(sites=[SITE]).warnings == ()
    Agent.objects.update(seen=EPOCH)
    assert asked(sites=[SITE]).warnings == (nobody,)


def test_a_pilot_that_has_an_attempt_is_somebody() -> None:
    submit()
    assert asked(name="t2").warnings == ("no agent or pilot was active at any site of COMPASS in the last 60 minutes.",)
    leased()
    assert asked(name="t2").warnings == ()


def test_a_closed_site_and_the_queue_of_its_merges_are_told() -> None:
    Site.objects.filter(name="BW_COMPASS_MCORE").update(closed="moved")
    told = asked(sites=["BW_COMPASS_MCORE"]).warnings
    assert told[0] == "the site BW_COMPASS_MCORE is closed: moved"
    assert any("BW_COMPASS_MCORE_MERGING" in words for words in told)


def test_the_example_is_the_job_that_a_worker_would_get() -> None:
    told = asked(raw(1, 11), merges=None)
    assert told.example is not None
    submit([raw(1, 11)])
    given = leased().job
    assert (told.example.command, told.example.inputs) == (given.command, given.inputs)
    assert [output.destinations for output in told.example.outputs] == [each.destinations for each in given.outputs]


def test_the_api_answers_a_dry_run_and_refuses_the_submission_for_the_same() -> None:
    remember_all()
    application, token = Application(), issue("m", "manager", None)
    submit([raw(1, 11)])
    document = {"task": {"task": task_document(name="t2", parameters=PARAMETERS)}}

    def post(path: str) -> Answered:
        return request(application, "POST", path, json.dumps(document).encode(), token=token)

    told = post("/api/v1/tasks/dry-run")
    assert (told.status, told.json["taken_count"], told.json["example"]["task"]) == (200, 5, "t2")
    refused = post("/api/v1/tasks")
    assert (refused.status, refused.json["error"]) == (409, "conflict")
    assert "5 published names belong to other tasks" in refused.json["message"]
    document["task"]["task"]["parameters"] = {**PARAMETERS, "production": "other", "soft": "other"}
    assert post("/api/v1/tasks/dry-run").json["taken_count"] == 0
    assert "no agent or pilot was active" in post("/api/v1/tasks").json["warnings"][0]


def test_a_dry_run_is_for_managers() -> None:
    remember_all()
    body = json.dumps({"task": {"task": task_document()}}).encode()
    token = issue("v", "viewer", None)
    assert request(Application(), "POST", "/api/v1/tasks/dry-run", body, token=token).status == 403
