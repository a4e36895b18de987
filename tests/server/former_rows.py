"""Rows in every state that a version has, made by the code of any version since the first.

As a program, with the code of a former version before this checkout in PYTHONPATH, it makes the tables in the database
that DATABASE_URL names, fills them, and prints the rows as JSON.
"""

from __future__ import annotations

import json
import sys
import tarfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

SITE = "CERN_COMPASS_PROD"
TABLES = (
    *("Task", "Job", "Attempt", "Product", "MergeGroup"),
    *("StagedFile", "LogArchive", "Agent", "Breaker", "Signature"),
)
CHECKOUT = Path(__file__).resolve().parents[2]
FORMER = CHECKOUT / "fixtures/former-versions.tar.xz"
"""Folders `pilotext` and `rules` of former versions, made by `git archive`: no clone needs the whole history."""

FIRST_TABLES = "6025306"
"""The last version with the tables as they were first."""

BEFORE_CONTROLLERS = "70bfa74"
"""The last version whose API was no declared one."""


def code_of(version: str, folder: Path) -> Path:
    """The code of a version."""
    with tarfile.open(FORMER) as former:
        former.extractall(folder, filter="data")
    return folder / version


def fill(models: Any, states: Any) -> None:
    """A task in each state with a job in each, and whatever belongs to them, in each of its states."""

    def add(model: str, **fields: Any) -> Any:
        return models.get_model("production", model).objects.create(**fields)

    experiment = models.get_model("production", "Experiment").objects.get(name="COMPASS")
    site = models.get_model("production", "Site").objects.get(name=SITE)
    in_hours = time.time() + 10_000
    sent = []
    for number, state in enumerate(states.TASK.states):
        parameters = {"production": f"prod-{state}", "path": "generalprod/", "soft": "soft", "year": 2016}
        same = {"experiment": experiment, "type": "mass production", "digest": state}
        task = add("Task", name=state, state=state, parameters=parameters, **same)
        for chunk, of_job in enumerate(states.JOB.states):
            file = f"/castor/cern.ch/compass/data/2016/raw/W14/cdr{chunk}-{number + 1}.raw"
            avoid = {"wn1": in_hours, f"site:{SITE}": 1.0} if of_job == "ready" else {}
            job = add(
                "Job", task=task, type=task.type, state=of_job, avoid=avoid, file=file, run=number + 1, chunk=chunk
            )
            sent += [job] if of_job == "sent" else []
        for merge, of_product in enumerate(states.PRODUCT.states):
            add("Product", task=task, run=1000 + merge, merge="mdst", state=of_product)
        for run, of_archive in enumerate(states.ARCHIVE.states):
            add("LogArchive", task=task, run=run, state=of_archive, name=f"{state}-{run}.tar.gz")
        add("Event", who="maria", subject="task", subject_id=task.pk, task=task.pk, after=state, why="before")
    for number, state in enumerate(states.ATTEMPT.states):
        job = sent[number if state in states.ACTIVE_ATTEMPT else 0]  # one active attempt of a job at most
        same = {"lease_s": 1.0, "lease_until": in_hours, "token": state, "number": number + 1, "node": "wn1"}
        attempt = add("Attempt", job=job, task=job.task, site=site, state=state, **same)
        add("Evidence", attempt=attempt, report="{}", rejudged=f"by {state}", late=state == "lost")
    for state in states.STAGED_FILE.states:
        add("StagedFile", url=f"root://h//{state}", experiment=experiment, state=state)
    for state in states.AGENT.states:
        add("Agent", name=state, site=site, state=state)
    for state in states.BREAKER.states:
        add("Breaker", experiment=experiment, rule="site-storage", scope=state, site=site, state=state)


def contents(models: Any) -> dict[str, list[dict[str, Any]]]:
    """All rows but for columns that have become something else since: places to avoid, and counts of names."""
    gone = ("avoid", "names")
    rows = {name: list(models.get_model("production", name).objects.order_by("pk").values()) for name in TABLES}
    return {
        name: [{key: _plain(row[key]) for key in row if key not in gone} for row in found]
        for name, found in rows.items()
    }


def _plain(value: Any) -> Any:
    """Points in time as seconds since 1970, as former versions had them."""
    return value.timestamp() if isinstance(value, datetime) else value


def main() -> None:
    from pilotext.server.boot import boot, migrate

    boot()
    from django.apps import apps

    from pilotext.server.production import states

    migrate()
    fill(apps, states)
    json.dump(contents(apps), sys.stdout)


if __name__ == "__main__":
    main()
