"""Databases of earlier versions: every row survives, and what it shows is right afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from pilotext.server.boot import migrate
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.models import (
    Agent,
    Attempt,
    AttemptReport,
    AuditEntry,
    AvoidedPlace,
    Breaker,
    CycleStep,
    Job,
    PublishedFile,
    Task,
)
from pilotext.server.production.states import OPEN_JOB
from pilotext.server.production.submission.naming import key_of
from pilotext.server.times import EPOCH, FOREVER, later, now, to_seconds
from tests.server.former_rows import BEFORE_CONTROLLERS, CHECKOUT, FIRST_TABLES, code_of, contents
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


def test_numbers_of_kept_reports_and_labels_of_tasks_of_before_get_their_columns(without_skipped: Any) -> None:
    experiment = without_skipped.get_model("production", "Experiment").objects.get(name="COMPASS")
    site = without_skipped.get_model("production", "Site").objects.get(name=SITE)
    task = add(without_skipped, "t", experiment=experiment, parameters={**PARAMETERS, "period": "W14"})
    line = {"subject": "task", "subject_id": task.pk, "task": task.pk, "before": "", "after": "draft", "why": "x"}
    add(without_skipped, "", "Event", who="maria", **line)
    job = add(without_skipped, "", "Job", task=task, type=task.type, file=raw(1, 1), run=1, chunk=1, state="ready")
    file = {"name": "x", "url": "root://h//x", "size": 7, "adler32": "", "seconds": 0.5}
    usage = {"wall_s": 10.0, "cpu_s": 9.0, "peak_memory_mb": 100.0}
    good = {"verdict": {"counters": {"events_processed": 5}}, "usage": usage, "inputs": [file]}
    for number, report in enumerate((good, {"usage": "of another version"}), 1):
        attempt = {"job": job, "task": task, "site": site, "number": number, "state": "failed", "token": str(number)}
        row = add(without_skipped, "", "Attempt", **attempt, lease_s=1.0, lease_until=1.0)
        add(without_skipped, "", "Evidence", attempt=row, report=json.dumps(report))
    migrate()
    columns = Attempt.objects.order_by("number").values_list("wall_s", "cpu_s", "peak_memory_mb", "events", "transfers")
    moved = {"direction": "in", "storage": "root://h", "files": 1, "bytes": 7, "seconds": 0.5}
    assert list(columns) == [(10.0, 9.0, 100.0, 5, [moved]), (None, None, None, None, None)]
    assert Task.objects.values_list("year", "period", "submitter").get() == (2016, "W14", "maria")


def test_seconds_become_dates_and_dates_seconds_by_the_database_alone() -> None:
    second = datetime(2016, 8, 1, 12, tzinfo=UTC)
    points = [EPOCH, second, later(second, 0.000_001), later(second, 0.999_999), FOREVER]
    for number, at in enumerate(points):
        CycleStep.objects.create(name=str(number), at=at, failing_since=at if number % 2 else None)
    for apps_then in tables_as_of("0010_statistics"):
        steps = apps_then.get_model("production", "CycleStep").objects.order_by("pk")
        seconds = [to_seconds(at) for at in points]
        assert [row.at for row in steps] == [pytest.approx(at, abs=2e-6) for at in seconds]
        assert [row.failing_since for row in steps][::2] == [None, None, None]
        steps.filter(name="0").update(at=-5.0)
        steps.filter(name="4").update(at=1e300)
    rows = CycleStep.objects.order_by("pk")
    assert all(abs(row.at - at) < timedelta(microseconds=3) for row, at in zip(rows, points, strict=True))
    assert rows[0].at == EPOCH
    assert list(CycleStep.objects.filter(at=second).values_list("name", flat=True)) == ["1"]


def test_tables_are_sound_after_points_in_time_became_dates() -> None:
    """Types, indexes and contents are as in a database that was made with dates; the database itself finds no fault."""
    indexes = index_names()
    for _ in tables_as_of("0010_statistics"):
        pass
    assert index_names() == indexes
    with connection.cursor() as cursor:
        types = {
            column.name: connection.introspection.get_field_type(column.type_code, column)
            for column in connection.introspection.get_table_description(cursor, "production_attempt")
        }
        if connection.vendor == "sqlite":
            assert cursor.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {types[name] for name in ("leased", "seen", "fetched", "lease_until", "ended")} == {"DateTimeField"}
    assert types["lease_s"] == "FloatField"


def index_names() -> set[str]:
    with connection.cursor() as cursor:
        return {
            name
            for table in connection.introspection.table_names(cursor)
            for name in connection.introspection.get_constraints(cursor, table)
        }


# --------------------------------------------------------------------- databases that the code of former versions made


@pytest.fixture(params=[FIRST_TABLES, BEFORE_CONTROLLERS], ids=["first-tables", "before-controllers"])
def former(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of a database that a former version has made, with tasks and everything else in all states."""
    MigrationExecutor(connection).migrate([("production", None)])
    connection.close()
    code = code_of(request.param, tmp_path / "former")
    env = {**os.environ, "DATABASE_URL": database, "PYTHONPATH": f"{code}{os.pathsep}{CHECKOUT}"}
    made = subprocess.run(
        [sys.executable, "-P", "-m", "tests.server.former_rows"], env=env, stdout=subprocess.PIPE, check=True
    )
    rows: dict[str, list[dict[str, Any]]] = json.loads(made.stdout)
    return rows


def test_a_database_of_a_former_version_keeps_every_row_and_goes_on(former: dict[str, list[dict[str, Any]]]) -> None:
    migrate()
    for name, rows in contents(apps).items():
        columns = former[name][0].keys() if former[name] else ()
        there = [{column: row[column] for column in columns} for row in rows]
        assert there == [to_a_microsecond(row) for row in former[name]], name
    mine = AuditEntry.objects.filter(who="maria").order_by("pk")
    tasks = [(row["id"], row["state"]) for row in former["Task"]]
    assert list(mine.values_list("subject", "subject_id", "task", "after", "why")) == [
        ("task", pk, pk, state, "before") for pk, state in tasks
    ]
    reports = AttemptReport.objects.values_list("attempt__state", "report", "reclassified", "late")
    states = [row["state"] for row in former["Attempt"]]
    assert sorted(reports) == sorted((state, "{}", f"by {state}", state == "lost") for state in states)
    assert set(AvoidedPlace.objects.values_list("job__state", "place")) == {("ready", "wn1"), ("ready", f"site:{SITE}")}
    assert AvoidedPlace.objects.count() == 2 * len(tasks)
    assert_the_production_goes_on()


def to_a_microsecond(row: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(value, abs=2e-6) if isinstance(value, float) else value for name, value in row.items()}


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
