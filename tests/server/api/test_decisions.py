"""Decisions on many jobs through the API: they name their task or all tasks, and can be shown before."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from pilotext.api.schemas.jobs import JobState
from pilotext.api.schemas.runs import ProductState
from pilotext.api.schemas.tasks import TaskState
from pilotext.server.production.models import AuditEntry, Job
from pilotext.server.production.states import JOB, PRODUCT, TASK
from tests.server.api.test_api import Caller
from tests.server.support import fail, leased, raw, submit, succeed

pytestmark = pytest.mark.usefixtures("database")


def ask(path: str = "move", **body: Any) -> tuple[int, Any]:
    return Caller("expert").post(
        f"/api/v1/jobs/{path}", {"why": "x", **({"to": "resend"} if path == "move" else {}), **body}
    )


def prepare() -> None:
    submit([raw(1, chunk) for chunk in range(3)])
    submit([raw(1, 7)], name="t2")
    for _ in range(2):
        fail(leased(), "input-corrupt", "manual-check")
    succeed(leased())
    fail(leased(), "input-corrupt", "manual-check")


@pytest.mark.parametrize("path", ["move", "rejudge"])
def test_whose_jobs_are_meant_is_said(path: str) -> None:
    prepare()
    act = {"act": True} if path == "rejudge" else {}
    status, said = ask(path, jobs={"state": "manual"}, **act)
    assert (status, said["error"]) == (422, "invalid")
    assert "all_tasks" in said["message"]
    status, said = ask(path, jobs={"state": "manual", "task": "t1"}, all_tasks=True, **act)
    assert "not on both" in said["message"]
    assert Job.objects.filter(state="manual").count() == 3


def test_all_tasks_means_all_of_them_but_not_without_any_choice() -> None:
    prepare()
    assert ask(jobs={}, all_tasks=True)[0] == 422
    status, done = ask(jobs={"state": "manual"}, all_tasks=True)
    assert (status, len(done["moved"])) == (200, 3)


def test_a_dry_run_says_what_would_be_done_and_does_nothing() -> None:
    prepare()
    lines = AuditEntry.objects.filter(subject="job").count()
    status, would = ask(jobs={"task": "t1", "run": 1}, dry_run=True)
    assert (status, would["moved"], would["left"]) == (200, [], 3)
    assert [(row["task"], row["state"], row["jobs"], row["moves"]) for row in would["preview"]["counts"]] == [
        ("t1", "finished", 1, True),
        ("t1", "manual", 2, True),
    ]
    assert [row["task"] for row in would["preview"]["first"]] == ["t1"] * 3
    assert AuditEntry.objects.filter(subject="job").count() == lines
    _, would = ask(jobs={"task": "t1"}, dry_run=True, to="fail")
    assert (would["preview"]["jobs"], would["preview"]["counts"][0]["moves"]) == (2, False)
    _, would = ask(jobs={"task": "t1", "state": "manual"}, dry_run=True, to="accept")
    assert would["left"] == 2


def test_rejudging_named_jobs_looks_at_those_alone() -> None:
    """`jobs rejudge 50` looked at the jobs of all tasks."""
    prepare()
    first, second = Job.objects.filter(state="manual", task__name="t1").values_list("pk", flat=True)
    assert ask("rejudge", jobs={}, only=[first])[1]["looked_at"] == 1
    assert ask("rejudge", jobs={}, only=[first, second], act=True)[1]["looked_at"] == 2
    assert ask("rejudge", jobs={})[1]["looked_at"] == 3
    assert ask("rejudge", jobs={}, only=[10**6])[0] == 404


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/api/v1/jobs?state=maual", "did you mean 'manual'?"),
        ("/api/v1/tasks?state=runing", "did you mean 'running'?"),
        ("/api/v1/products?state=keept", "did you mean 'kept'?"),
        ("/api/v1/jobs?cause=memry", "did you mean 'memory'?"),
        ("/api/v1/runs?task=t1&state=x", "'x' is none of: checked, cleaned"),
        ("/api/v1/jobs?taks=t1", "did you mean `task`?"),
    ],
)
def test_a_misspelt_word_of_a_query_is_answered_with_what_was_meant(address: str, said: str) -> None:
    submit()
    status, problem = Caller("viewer").get(address)
    assert status == 422
    assert said.lower() in problem["message"].lower()


def test_the_states_of_filters_are_those_of_the_machines() -> None:
    for literal, machine in ((JobState, JOB), (TaskState, TASK), (ProductState, PRODUCT)):
        assert {*get_args(literal)} == {*machine.states}
