"""Databases of earlier versions: every row survives, and what it shows is right afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from pilotext.server.boot import migrate
from pilotext.server.production.models import PublishedFile, Task
from pilotext.server.production.submission.naming import key_of

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def first() -> Iterator[Any]:
    """The tables as the first version had them, by the models of that time."""
    executor = MigrationExecutor(connection)
    executor.migrate([("production", "0001_first")])
    yield executor.loader.project_state([("production", "0001_first")]).apps
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
