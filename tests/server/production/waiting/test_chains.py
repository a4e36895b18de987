"""What a task in a chain waits for: jobs of its parent, inputs that are produced again, and readers of its files."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pilotext.api.schemas.waits import Wait
from pilotext.server.production.models import Agent, Job, Product, Task
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.production.statistics.tasks import describe_task
from pilotext.storage.memory import MemoryStorage
from tests.server.chain import (
    analysis,
    decide,
    decide_on_task,
    generation,
    jobs,
    leased_of,
    readers,
    reconstruction,
    submit,
    submit_chain,
    task,
    work,
)
from tests.server.merged import cycle, storage
from tests.server.support import fail, site

__all__ = ["readers", "storage"]
pytestmark = pytest.mark.usefixtures("database", "storage")

MAX_QUERIES = 20


def inputs(name: str) -> list[Wait]:
    number = task(name).pk
    with CaptureQueriesContext(connection) as queries:
        page = describe_task(number)
    assert len(queries) <= MAX_QUERIES
    return [wait for wait in page.waits if wait.kind == "inputs"]


def test_it_waits_for_the_jobs_of_its_parent_until_that_has_ended(storage: MemoryStorage) -> None:
    submit_chain(jobs=3)
    assert describe_task(task("reco1").pk).inputs_of == "mc of task mc1"
    assert describe_task(task("mc1").pk).inputs_of == ""
    (wait,) = inputs("reco1")
    assert (wait.what, wait.who) == ("it waits for 3 jobs of task mc1", "server")
    assert wait.how == "pilotext tasks show mc1 says why it is not further"
    work(storage, "mc1", most=2)
    assert inputs("reco1")[0].what == "it waits for 1 job of task mc1"
    work(storage, "mc1")
    cycle()
    assert inputs("reco1") == []
    assert inputs("mc1") == []


def test_a_parent_that_does_not_run_is_for_its_manager() -> None:
    submit(generation(jobs=1, start=False))
    submit(reconstruction())
    (wait,) = inputs("reco1")
    assert (wait.what, wait.who) == ("it waits for 1 job of task mc1, which is ready", "manager")
    assert wait.how == "pilotext tasks start mc1 --why ..."
    decide_on_task("mc1", "start")
    decide_on_task("mc1", "pause")
    assert inputs("reco1")[0].how == "pilotext tasks resume mc1 --why ..."
    assert describe_task(task("reco1").pk).needs_person, "nothing moves until somebody resumes the other"


def test_it_needs_a_person_when_its_parent_does(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    given = leased_of("mc1")
    assert not describe_task(task("reco1").pk).needs_person
    work(storage, "mc1")
    work(storage, "reco1")
    fail(given, "configuration", "manual-check")
    assert describe_task(task("mc1").pk).needs_person
    assert describe_task(task("reco1").pk).needs_person
    decide(Job.objects.get(state="manual"), "resend")
    assert not describe_task(task("reco1").pk).needs_person


def test_merged_files_are_waited_for_by_run(storage: MemoryStorage, readers: None) -> None:
    submit(generation(jobs=1))
    submit(reconstruction(merges=["mdst"]))
    work(storage, "mc1")
    submit(analysis(merged=True))
    assert describe_task(task("ana1").pk).inputs_of == "merged mdst of task reco1"
    assert inputs("ana1")[0].what == "it waits for 1 merged product of task reco1"
    Product.objects.update(state="kept")
    assert inputs("ana1")[0].what == "it waits for task reco1"
    Task.objects.filter(name="reco1").update(state="done")
    Job.objects.filter(task__name="reco1").update(state="finished")
    assert inputs("ana1")[0].what == "the outputs of task reco1, which is done, are taken up"


def test_a_job_names_the_one_that_produces_its_input_again(storage: MemoryStorage) -> None:
    Agent.objects.create(name="a1", site=site(), host="wn1")
    submit_chain(jobs=1)
    work(storage, "mc1")
    (made,) = jobs("reco1")
    assert "inputs" not in [wait.kind for wait in describe_job(made.pk).waits]
    maker = jobs("mc1")[0]
    decide(maker, "resend")
    cycle()
    (wait,) = describe_job(made.pk).waits
    assert (wait.kind, wait.how) == ("inputs", f"pilotext jobs show {maker.pk} says how far that is")
    assert wait.what == f"its input mcr00001-3_run000.tgeant is produced again by job {maker.pk} of task mc1"
    assert "1 job waits for an input that is produced again" in [each.what for each in inputs("reco1")]


def test_an_archived_task_names_those_that_read_its_files(storage: MemoryStorage, readers: None) -> None:
    submit(generation(jobs=1))
    submit(reconstruction(merges=["mdst"]))
    work(storage, "mc1")
    submit(analysis())
    for _ in range(3):
        work(storage, "reco1")
    decide_on_task("reco1", "archive")
    cycle()
    (wait,) = inputs("reco1")
    assert wait.what == "its chunk files stay as long as they are read by task ana1"
    decide_on_task("ana1", "cancel")
    assert inputs("reco1") == []
