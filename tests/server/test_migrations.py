"""Databases of earlier versions: every row survives, and what it shows is right afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from pilotext.server.boot import migrate
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.models import (
    Agent,
    AttemptReport,
    AuditEntry,
    AvoidedPlace,
    Breaker,
    Job,
    PublishedFile,
    Task,
)
from pilotext.server.production.models.common import now
from pilotext.server.production.states import (
    ACTIVE_ATTEMPT,
    AGENT,
    ARCHIVE,
    ATTEMPT,
    BREAKER,
    JOB,
    OPEN_JOB,
    PRODUCT,
    STAGED_FILE,
    TASK,
)
from pilotext.server.production.submission.naming import key_of
from tests.server.support import PARAMETERS, SITE, fail, lease, leased, raw, submit

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def first() -> Iterator[Any]:
    """The tables as the first version had them, by the models of that time."""
    yield from tables_as_of("0001_first")


@pytest.fixture
def without_skipped() -> Iterator[Any]:
    """The tables before jobs had the number of events that were skipped."""
    yield from tables_as_of("0003_published_names")


@pytest.fixture
def before() -> Iterator[Any]:
    """The tables as the version had them that named audit lines `Event` and kept reports `Evidence`."""
    yield from tables_as_of("0007_verification")


def tables_as_of(migration: str) -> Iterator[Any]:
    executor = MigrationExecutor(connection)
    executor.migrate([("production", migration)])
    yield executor.loader.project_state([("production", migration)]).apps
    migrate()


def add(apps: Any, task_name: str, model: str = "Task", **fields: Any) -> Any:
    if model == "Task":
        fields = {"name": task_name, "type": "mass production", "digest": task_name, **fields}
    return apps.get_model("production", model).objects.create(**fields)


def test_published_files_of_before_belong_to_the_task_that_published_them_last(first: Any) -> None:
    experiment = first.get_model("production", "Experiment").objects.get(name="COMPASS")
    site = first.get_model("production", "Site").objects.filter(experiment=experiment).first()
    parameters = {"production": "prod", "path": "generalprod/", "soft": "soft", "year": 2016}
    eos = "root://eoscompass.cern.ch//eos/experiment/compass/generalprod/soft/mDST.chunks/"
    jobs = []
    for name in ("t1", "t2"):
        task = add(first, name, experiment=experiment, parameters=parameters)
        job = add(first, "", "Job", task=task, type=task.type, file=f"/{name}/cdr2-1.raw", run=1, chunk=2)
        same = {"task": task, "site": site, "number": 1, "lease_s": 1.0, "lease_until": 1.0, "token": name}
        attempt = add(first, "", "Attempt", job=job, state="finished", **same)
        file = {"name": "mDST-1-2-0-7.root", "url": f"{eos}mDST-1-2-0-7.root", "size": 1, "adler32": "00000001"}
        add(first, "", "Output", job=job, attempt=attempt, kind="mdst", **file)
        jobs.append(job)
    add(
        first,
        "",
        "LogArchive",
        task=jobs[0].task,
        run=1,
        state="kept",
        name="p.1.tar.gz",
        url="root://h//logs/p.1.tar.gz",
    )
    migrate()
    owner = dict(PublishedFile.objects.values_list("key", "job"))
    assert owner[key_of(f"{eos}mDST-1-2-0-7.root")] == jobs[1].pk
    assert PublishedFile.objects.get(pk=key_of("root://h//logs/p.1.tar.gz")).task.name == "t1"
    told = {task.name: task.names for task in Task.objects.all()}
    # Beside the file that is there: the histogram, the dump, the archives of logs are those of the earlier task.
    assert told == {"t1": 2 + 1 + 1, "t2": 1}
    assert PublishedFile.objects.count() == 2 + 1 + 1 + 1 + 1


def test_an_empty_database_has_nothing_to_name(first: Any) -> None:
    assert first.get_model("production", "Task").objects.count() == 0
    migrate()
    assert PublishedFile.objects.count() == 0


@pytest.mark.parametrize(
    ("done", "counters", "skipped"),
    [(90, {"events_skipped": 10}, 10), (90, {}, 0), (None, {"events_skipped": 10}, None)],
)
def test_finished_jobs_of_before_get_their_skipped_events_from_their_reports(
    without_skipped: Any, done: int | None, counters: dict[str, int], skipped: int | None
) -> None:
    experiment = without_skipped.get_model("production", "Experiment").objects.get(name="COMPASS")
    site = without_skipped.get_model("production", "Site").objects.get(name=SITE)
    task = add(without_skipped, "t", experiment=experiment, parameters=PARAMETERS)
    job = {"task": task, "type": task.type, "file": raw(1, 1), "run": 1, "chunk": 1, "state": "finished"}
    row = add(without_skipped, "", "Job", **job, attempts=1, events_done=done)
    attempt = {"job": row, "task": task, "site": site, "number": 1, "state": "finished", "token": "t"}
    ended = add(without_skipped, "", "Attempt", **attempt, lease_s=1.0, lease_until=1.0)
    add(without_skipped, "", "Evidence", attempt=ended, report=json.dumps({"verdict": {"counters": counters}}))
    migrate()
    assert Job.objects.get().events_skipped == skipped


# ------------------------------------------------------------------------- the version before, with tasks in all states

TABLES = (
    "Task",
    "Job",
    "Attempt",
    "Product",
    "MergeGroup",
    "StagedFile",
    "LogArchive",
    "Agent",
    "Breaker",
    "Signature",
)


def fill(old: Any) -> None:
    """A task in each state with a job in each, and whatever belongs to them, in each of its states."""
    experiment = old.get_model("production", "Experiment").objects.get(name="COMPASS")
    site = old.get_model("production", "Site").objects.get(name=SITE)
    for number, state in enumerate(TASK.states):
        parameters = {**PARAMETERS, "production": f"prod-{state}"}
        task = add(old, state, experiment=experiment, state=state, parameters=parameters)
        for chunk, of_job in enumerate(JOB.states):
            fields = {"type": task.type, "file": raw(number + 1, chunk), "run": number + 1, "chunk": chunk}
            avoid = {"wn1": now() + 1000, f"site:{SITE}": now() - 1} if of_job == "ready" else {}
            add(old, "", "Job", task=task, state=of_job, avoid=avoid, **fields)
        for merge, of_product in enumerate(PRODUCT.states):
            add(old, "", "Product", task=task, run=1000 + merge, merge="mdst", state=of_product)
        for run, of_archive in enumerate(ARCHIVE.states):
            add(old, "", "LogArchive", task=task, run=run, state=of_archive, name=f"{state}-{run}.tar.gz")
        add(old, "", "Event", who="maria", subject="task", subject_id=task.pk, task=task.pk, after=state, why="before")
    job = old.get_model("production", "Job").objects.filter(state="sent").first()
    for number, state in enumerate(ATTEMPT.states):
        same = {"lease_s": 1.0, "lease_until": now() + 1000, "token": state, "number": number + 1}
        if state in ACTIVE_ATTEMPT:
            job = old.get_model("production", "Job").objects.filter(state="sent", task__state=TASK.states[number]).get()
        attempt = add(old, "", "Attempt", job=job, task=job.task, site=site, state=state, node="wn1", **same)
        add(old, "", "Evidence", attempt=attempt, report="{}", rejudged=f"by {state}", late=state == "lost")
    for state in STAGED_FILE.states:
        add(old, "", "StagedFile", url=f"root://h//{state}", experiment=experiment, state=state)
    for state in AGENT.states:
        add(old, "", "Agent", name=state, site=site, state=state)
    for state in BREAKER.states:
        add(old, "", "Breaker", experiment=experiment, rule="site-storage", scope=state, site=site, state=state)


def contents(get_model: Any) -> dict[str, list[dict[str, Any]]]:
    rows = {name: list(get_model("production", name).objects.order_by("pk").values()) for name in TABLES}
    return {name: [{key: row[key] for key in row if key != "avoid"} for row in found] for name, found in rows.items()}


def test_a_database_of_the_version_before_keeps_every_row_and_goes_on(before: Any) -> None:
    fill(before)
    was = contents(before.get_model)
    for task in before.get_model("production", "Task").objects.all():
        before.get_model("production", "Task").objects.filter(pk=task.pk).update(names=0)
    for row in was["Task"]:
        row["names"] = 0
    lines = before.get_model("production", "Event").objects.order_by("pk")
    kept_lines = list(lines.values("pk", "who", "subject", "subject_id", "task", "after", "why"))
    migrate()
    assert contents(apps.get_model) == was
    mine = AuditEntry.objects.filter(pk__in=[line["pk"] for line in kept_lines]).order_by("pk")
    assert list(mine.values("pk", "who", "subject", "subject_id", "task", "after", "why")) == kept_lines
    reports = AttemptReport.objects.values_list("attempt__state", "report", "reclassified", "late")
    assert set(reports) == {(state, "{}", f"by {state}", state == "lost") for state in ATTEMPT.states}
    assert set(AvoidedPlace.objects.values_list("job__state", "place")) == {("ready", "wn1"), ("ready", f"site:{SITE}")}
    assert AvoidedPlace.objects.count() == 2 * len(TASK.states)
    assert_the_production_goes_on()


def assert_the_production_goes_on() -> None:
    """A ready job of the running task goes to a node that it does not avoid; the cycle ends the cancelled task."""
    Agent.objects.update(seen=now(), state="active", host="wn2")
    Breaker.objects.update(state="closed")
    assert lease("wn1") is None
    given = leased("wn2")
    assert Job.objects.get(pk=given.job.job).task.state == "running"
    assert run_once(tuple(step for step in STEPS if not step.lane)).keys() >= {"cancelled", "resumed"}
    assert not Job.objects.filter(task__state="cancelled", state__in=OPEN_JOB).exists()
    assert fail(given).accepted
    submit([raw(1, 1)], name="new")
    assert Task.objects.get(name="new").state == "running"
