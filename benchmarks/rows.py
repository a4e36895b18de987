"""Many jobs in a database, in the states that a production has them in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pilotext.server.boot import boot
from pilotext.server.times import EPOCH

JOBS_OF_A_TASK = 26_000
STATES = ("finished",) * 90 + ("ready",) * 6 + ("failed",) * 2 + ("manual",) + ("cancelled",)
PARAMETERS = {"production": "prod", "path": "generalprod/", "soft": "soft", "year": 2016}
CHUNKS_OF_A_RUN = 200


def raw(number: int) -> str:
    """The n-th raw file of a period."""
    run, chunk = divmod(number, CHUNKS_OF_A_RUN)
    return f"/castor/cern.ch/compass/data/2016/raw/W14/cdr{10_000 + chunk}-{270_000 + run}.raw"


def task_document(name: str, jobs: int) -> dict[str, Any]:
    """A task of raw files that are on disk already, with names of its own to publish under."""
    return {
        "experiment": "COMPASS",
        "name": name,
        "type": "mass production",
        "files": {"these": [raw(number) for number in range(jobs)]},
        "parameters": {**PARAMETERS, "production": name, "soft": name},
        "staging": False,
        "merges": [],
    }


def fill(database: str, jobs: int) -> None:
    """Bring the database to so many jobs, in tasks of the size of a real one; nine in ten of them are finished."""
    boot(database)
    from django.db import connection  # noqa: PLC0415  needs boot

    from pilotext.server.database import transact  # noqa: PLC0415
    from pilotext.server.production.models import Job  # noqa: PLC0415

    while (there := Job.objects.count()) < jobs:
        number = min(JOBS_OF_A_TASK, jobs - there)
        transact(lambda: _fill_task(number))  # noqa: B023  called at once
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.close()


def _fill_task(number: int) -> None:
    from pilotext.server.database import insert_many  # noqa: PLC0415  needs boot
    from pilotext.server.production.models import Attempt, Experiment, Job, Site, Task  # noqa: PLC0415

    experiment = Experiment.objects.get(name="COMPASS")
    name = f"filled-{Task.objects.count() + 1}"
    document = task_document(name, 0)
    task = Task.objects.create(
        experiment=experiment,
        name=name,
        type=document["type"],
        state="running",
        parameters=PARAMETERS,
        document=document,
        digest=name,
    )
    same = {"task": task, "type": task.type, "priority": 1000}
    insert_many(Job, same, ("file", "run", "chunk", "state", "code"), _rows(number))
    ended = Job.objects.filter(task=task, state__in=("finished", "failed")).values_list("pk", flat=True)
    site = Site.objects.get(name="CERN_COMPASS_PROD")
    same = {
        "task": task,
        "site": site,
        "number": 1,
        "state": "finished",
        "lease_s": 600.0,
        "lease_until": EPOCH,
        "ended": EPOCH,
    }
    insert_many(Attempt, same, ("job_id", "token"), ((pk, f"token of {pk}") for pk in ended))


def _rows(number: int) -> Iterator[tuple[str, int, int, str, str]]:
    for each in range(number):
        run, chunk = divmod(each, CHUNKS_OF_A_RUN)
        state = STATES[each % len(STATES)]
        code = "COMPASS-1241" if state in ("failed", "manual") else ""
        yield raw(each), 270_000 + run, 10_000 + chunk, state, code
