"""A task whose inputs are outputs of another one: which they are, what is refused, and what the dry run tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotext.api.schemas.tasks import DryRun
from pilotext.errors import UsageError
from pilotext.server.production.models import Job, Output, PublishedFile, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.submission.chains import plan_task
from pilotext.server.production.submission.document import from_plain
from pilotext.server.production.submission.dry_run import dry_run
from pilotext.server.production.submission.naming import key_of
from pilotext.storage.memory import MemoryStorage
from tests.server.chain import (
    ON_MEMORY,
    analysis,
    generation,
    jobs,
    readers,
    reconstruction,
    submit,
    submit_chain,
    task,
    work,
)
from tests.server.merged import storage
from tests.server.support import lease

__all__ = ["readers", "storage"]
pytestmark = pytest.mark.usefixtures("database", "storage")

EXAMPLE = Path(__file__).resolve().parents[4] / "fixtures/tasks/mc-reconstruction.yaml"


def asked(document: dict[str, Any]) -> DryRun:
    whole = from_plain({"task": document})
    experiment = profile_of(whole.task.experiment)
    whole, plan = plan_task(experiment, whole, lambda _: ())
    return dry_run(experiment, whole.task, plan)


def test_outputs_that_are_there_become_jobs_at_once(storage: MemoryStorage) -> None:
    submit(generation(jobs=3))
    work(storage, "mc1", most=2)
    done = submit(reconstruction())
    assert (done.created, done.jobs, task("reco1").parent) == (True, 2, task("mc1"))
    facts = Output.objects.order_by("pk").values_list("url", "size", "adler32", "pk")
    assert [(job.file, job.size, job.adler32, job.source_id) for job in jobs("reco1")] == list(facts)
    given = lease()
    assert given is not None
    assert work(storage, "reco1") == 2


@pytest.mark.parametrize(
    "inputs", [{"files": {}, "parent": "mc1"}, {"files": {"outputs_of": {"task": "mc1", "kind": "mc"}}}]
)
def test_a_parent_alone_brings_the_outputs_that_its_type_reads(inputs: dict[str, Any], storage: MemoryStorage) -> None:
    submit(generation(jobs=1))
    work(storage, "mc1")
    assert submit(reconstruction(**inputs)).jobs == 1
    assert (task("reco1").input_kind, task("reco1").input_merged) == ("mc", False)


def test_a_parent_beside_other_files_is_a_record(storage: MemoryStorage) -> None:
    submit(generation(jobs=1))
    work(storage, "mc1")
    own = reconstruction(files={"these": ["root://h//mcr00001-3_run000.tgeant"]}, parent="mc1")
    own["parameters"] |= task("mc1").parameters | {"production": "own"}
    assert submit(own).jobs == 1
    assert (task("reco1").parent, task("reco1").input_kind) == (task("mc1"), "")


def test_the_events_of_an_output_are_those_of_its_record(storage: MemoryStorage, readers: None) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    work(storage, "reco1", events=93)
    submit(analysis())
    (made,) = jobs("ana1")
    assert made.events == 93
    given = lease()
    assert given is not None
    assert (given.job.inputs[0].events, given.job.inputs[0].size) == (93, made.size)


def test_a_dry_run_tells_what_is_there_and_what_will_come(storage: MemoryStorage) -> None:
    submit(generation(jobs=3))
    work(storage, "mc1", most=1)
    told = asked(reconstruction())
    assert (told.jobs, told.to_come, told.problems) == (1, 2, ())
    assert told.waits_for == "outputs of kind mc of the task mc1, which is running"
    assert told.example is not None
    assert told.example.inputs[0].sources == (Output.objects.get().url,)
    assert not Task.objects.filter(name="reco1").exists()


def test_tasks_of_a_chain_that_have_no_job_yet_tell_how_many_will_come(storage: MemoryStorage, readers: None) -> None:
    submit_chain(jobs=3)
    told = asked(analysis())
    assert (told.jobs, told.to_come, told.problems) == (0, 3, ())
    work(storage, "mc1", most=1)
    assert (asked(analysis()).jobs, asked(analysis()).to_come) == (0, 3)
    work(storage, "reco1")
    assert (asked(analysis()).jobs, asked(analysis()).to_come) == (1, 2)


def test_the_names_of_jobs_to_come_belong_to_the_task_from_the_beginning(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    mine = PublishedFile.objects.filter(task=task("reco1").pk)
    before = mine.count()
    assert before == 2 * 2 + 1 + 1, "two outputs of each job, the logs of the run and of all"
    with pytest.raises(RefusalError, match="belong to other tasks"):
        submit(reconstruction(name="reco2", parameters={"production": "reco1", "template": "x.opt"}))
    work(storage, "mc1")
    work(storage, "reco1")
    assert mine.count() == before
    for output in Output.objects.filter(job__task=task("reco1")):
        assert PublishedFile.objects.get(pk=key_of(output.url)).job == output.job_id


def test_parameters_of_the_parent_are_taken_where_the_type_says_so_and_the_task_gives_none() -> None:
    submit(generation(jobs=1))
    submit(reconstruction(parameters={"production": "reco1", "template": "reco.opt", "year": 2017}))
    given = task("reco1").parameters
    assert (given["soft"], given["eos_server"], given["year"]) == ("mc", "memory://eos/", 2017)
    assert given["template"] == "reco.opt", "that of the generation is something else"
    assert task("reco1").year == 2017
    with pytest.raises(UsageError, match="template"):
        submit({**reconstruction(name="reco2", parameters={"production": "reco2"}), "type": "nothing like it"})


def test_the_same_task_is_made_once_whatever_has_come_meanwhile(storage: MemoryStorage) -> None:
    submit(generation(jobs=2))
    first = submit(reconstruction())
    work(storage, "mc1")
    again = submit(reconstruction())
    assert (again.created, again.task, again.jobs) == (False, first.task, 2)
    with pytest.raises(RefusalError, match="another task 'reco1'"):
        submit(reconstruction(merges=["mdst"]))


def test_the_example_of_the_repository_reads_the_generation_of_the_repository() -> None:
    whole = yaml.safe_load((EXAMPLE.parent / "mc-generation.yaml").read_text())
    submit({**whole, "generate": {**whole["generate"], "jobs": 2}})
    told = asked(yaml.safe_load(EXAMPLE.read_text()))
    assert (told.problems, told.taken_count, told.refused_count, told.jobs, told.to_come) == ((), 0, 0, 0, 2)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"files": {"outputs_of": {"task": "mc11"}}}, "there is no task 'mc11' whose outputs it could read"),
        ({"files": {"outputs_of": {"task": "reco1"}}}, "names itself"),
        ({"files": {"outputs_of": {"task": "mc1", "kind": "mdst"}}}, "publishes no outputs of kind 'mdst'"),
        ({"files": {"outputs_of": {"task": "mc1", "kind": "mc", "merged": True}}}, "no merged files of kind 'mc'"),
        ({"files": {"outputs_of": {"task": "mc1"}, "these": ["x"]}}, "has `outputs_of` and other inputs"),
        ({"files": {"outputs_of": {"task": "mc1"}}, "parent": "mc0"}, "has the parent mc0, and reads mc1"),
        ({"generate": {"jobs": 1, "events": 1}}, "has both `files` and `generate`"),
        ({"type": "mass production"}, "of the one form that the jobs of reco1 read"),
        ({"type": "MC generation from a template"}, "of the one form that the jobs of reco1 read"),
    ],
)
def test_a_chain_that_cannot_be_is_refused_with_the_reason(changed: dict[str, Any], said: str) -> None:
    submit(generation(jobs=1))
    with pytest.raises(UsageError) as refused:
        asked(reconstruction(**changed))
    assert said in str(refused.value)


def test_an_output_of_another_form_is_an_input_that_is_refused() -> None:
    submit(generation(jobs=1))
    own = {**ON_MEMORY, "production": "reco1"}
    told = asked(
        reconstruction(type="mass production", files={"outputs_of": {"task": "mc1", "kind": "mc"}}, parameters=own)
    )
    assert (told.to_come, told.refused_count) == (0, 1)
    assert "has not the form" in told.refused[0].why


def test_outputs_of_another_experiment_are_refused() -> None:
    submit(generation(jobs=1))
    document = {"experiment": "NA62", "name": "r", "type": "reconstruction", "parameters": {"revision": "v1"}}
    with pytest.raises(UsageError, match="the task mc1 is one of COMPASS"):
        asked({**document, "parent": "mc1"})


@pytest.mark.parametrize("state", ["archiving", "archived"])
def test_files_that_are_removed_are_no_inputs(state: str) -> None:
    submit(generation(jobs=1))
    Task.objects.update(state=state)
    with pytest.raises(UsageError, match=f"the task mc1 is {state}: its files are removed"):
        asked(reconstruction())


def test_a_task_without_outputs_that_has_ended_brings_no_jobs() -> None:
    submit(generation(jobs=1))
    Job.objects.update(state="failed")
    Task.objects.update(state="done")
    assert asked(reconstruction()).problems == ("the task has no jobs: no input was found, or every one was refused.",)
    with pytest.raises(RefusalError, match="the task has no jobs"):
        submit(reconstruction())


def test_a_file_that_holds_no_events_makes_no_job(storage: MemoryStorage, readers: None) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    work(storage, "reco1", events=0)
    assert "0 events" in asked(analysis()).refused[0].why
