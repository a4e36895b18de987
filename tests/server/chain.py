"""A generation of events and its reconstruction, the two tasks of a chain, on storage in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from pilotext.api.schemas.tasks import Submitted
from pilotext.profile.records import InputFile, JobType, OutputFile
from pilotext.server.database import transact
from pilotext.server.production import profiles
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Job, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.submission.chains import plan_task
from pilotext.server.production.submission.document import from_plain
from pilotext.server.production.submission.store import store
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import EOS, TAPE, cycle, do
from tests.server.support import WHY, lease, leased

ON_MEMORY = {"path": "generalprod/", "soft": "mc", "year": 2016, "eos_server": EOS, "tape_server": TAPE}


def generation(name: str = "mc1", jobs: int = 2, **fields: Any) -> dict[str, Any]:
    """A task of so many jobs that generate events."""
    return {
        "experiment": "COMPASS",
        "name": name,
        "type": "MC generation from a template",
        "generate": {"jobs": jobs, "events": 100, "run": 3},
        "parameters": {**ON_MEMORY, "production": name, "template": "t.xml"},
        **fields,
    }


def reconstruction(of: str = "mc1", name: str = "reco1", **fields: Any) -> dict[str, Any]:
    """A task that reads the events of a generation, without merges."""
    return {
        "experiment": "COMPASS",
        "name": name,
        "type": "MC reconstruction",
        "files": {"outputs_of": {"task": of}},
        "parameters": {"production": name, "template": "reco.opt"},
        "merges": [],
        **fields,
    }


def analysis(of: str = "reco1", name: str = "ana1", *, merged: bool = False, **fields: Any) -> dict[str, Any]:
    """A task that reads the mDSTs of a reconstruction; `readers` has its types."""
    return {
        "experiment": "COMPASS",
        "name": name,
        "type": "reader of merged files" if merged else "reader of chunks",
        "files": {"outputs_of": {"task": of, "kind": "mdst", "merged": merged}},
        "parameters": {"production": name},
        **fields,
    }


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The experiment has more types of jobs, which read mDSTs of chunks or of runs, or what those have made."""
    whole = profiles.profile_of("COMPASS")
    inherits = whole.job_types["MC reconstruction"].inherits
    types = {
        name: JobType(
            kind="analysis",
            command=("true",),
            input=InputFile(form=form),
            inherits=inherits,
            outputs=(OutputFile(name=out, to=("{eos}/{production}/",), kind="hist"),),
        )
        for name, form, out in (
            ("reader of chunks", "mdst", "read-{run}-{chunk}.root"),
            ("reader of merged files", "merged mdst", "read-{run}.root"),
            ("back", "read", "{mdst}"),
        )
    }
    types["back"] = replace(types["back"], outputs=whole.job_types["MC reconstruction"].outputs)
    names = {**whole.names, "read": "read-{run:d}-{chunk:d}.root"}
    changed = replace(whole, names=names, job_types={**whole.job_types, **types})
    monkeypatch.setattr(profiles, "load_experiment", lambda _: changed)
    profiles.profile_of.cache_clear()
    yield
    profiles.profile_of.cache_clear()


def submit(task: dict[str, Any]) -> Submitted:
    whole = from_plain({"task": task})
    experiment = profile_of(whole.task.experiment)
    whole, plan = plan_task(experiment, whole, lambda _: ())
    return store(experiment, whole.task, plan, "tester")


def submit_chain(jobs: int = 2) -> None:
    """Submit a generation with so many jobs, and its reconstruction."""
    submit(generation(jobs=jobs))
    submit(reconstruction())


def task(name: str) -> Task:
    return Task.objects.get(name=name)


def jobs(name: str) -> list[Job]:
    return list(Job.objects.filter(task__name=name, product="").order_by("chunk"))


def states(name: str) -> list[str]:
    return [job.state for job in jobs(name)]


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let jobs of this task only be given out."""
    others = list(Task.objects.filter(state="running").exclude(name=name).values_list("pk", flat=True))
    Task.objects.filter(pk__in=others).update(state="paused")
    yield
    Task.objects.filter(pk__in=others, state="paused").update(state="running")


def leased_of(name: str) -> Lease:
    """The next job of this task."""
    with alone(name):
        given = leased()
    assert given.job.task == name
    return given


def work(storage: MemoryStorage, name: str, events: int = 100, most: int = 100) -> int:
    """Do jobs of this task, `most` at most, and a cycle; returns how many could be had."""
    done = 0
    with alone(name):
        while done < most and (given := lease()) is not None:
            do(given, storage, events=events if given.job.kind != "merging" else None)
            done += 1
    cycle()
    return done


def decide(job: Job, word: str) -> list[int]:
    return transact(lambda: move_job(job.pk, word, WHY))


def decide_on_task(name: str, word: str) -> list[int]:
    return transact(lambda: move_task(task(name).pk, word, WHY))
