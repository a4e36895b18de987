"""Tasks in a chain: each output becomes an input once, also one that is produced again; nothing ends too early."""

from __future__ import annotations

import pytest

from pilotext.server.database import transact
from pilotext.server.production.cycle import chains
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.models import AuditEntry, Job, LeftOutInput, Output, Product, PublishedFile, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.tasks import describe_task
from pilotext.server.production.submission import more_jobs
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
    states,
    submit,
    submit_chain,
    task,
    work,
)
from tests.server.merged import cycle, do_all, storage
from tests.server.support import WHY, fail, leased, report_of, send

__all__ = ["readers", "storage"]
pytestmark = pytest.mark.usefixtures("database")


def source_of(job: Job) -> Job:
    """The job that made the input of this one."""
    assert job.source is not None
    return job.source.job


def step(name: str) -> int:
    return run_once(tuple(each for each in STEPS if each.name == name))[name]


def test_an_output_becomes_the_input_of_a_job_as_soon_as_it_is_published(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    assert (states("mc1"), states("reco1")) == (["ready", "ready"], [])
    assert work(storage, "mc1", most=1) == 1
    (made,) = jobs("reco1")
    output = Output.objects.get()
    assert (made.source_id, made.file, made.size, made.adler32) == (output.pk, output.url, output.size, output.adler32)
    assert (made.state, made.run, made.chunk) == ("ready", 3, output.job.chunk)
    assert task("mc1").state == "running", "the first task has not ended"


def test_no_output_becomes_two_jobs_and_none_is_forgotten(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_chain(jobs=3)

    def killed(*_: object) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as at_the_end:
        at_the_end.setattr(more_jobs, "_take_names", killed)
        with pytest.raises(SystemExit):
            work(storage, "mc1")
    assert states("reco1") == [], "the transaction was broken off with the cycle"
    monkeypatch.setattr(chains, "AT_ONCE", 2)
    cycle(2)
    assert states("reco1") == ["ready"] * 3
    assert step("inputs") == 0
    assert [job.source.job.chunk for job in jobs("reco1") if job.source] == [1, 2, 3]


def test_a_task_ends_when_its_parent_has_ended_and_not_before(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    given = leased()
    assert work(storage, "mc1") == 1
    assert work(storage, "reco1") == 1
    cycle(2)
    assert (states("reco1"), task("reco1").state) == (["finished"], "running")
    fail(given, "configuration", "fail")
    cycle(2)
    assert (task("mc1").state, task("reco1").state) == ("done", "done")
    assert task("reco1").inputs_missing == "1 job has published no mc"
    told = describe_task(task("reco1").pk).inputs_of
    assert told == "mc of task mc1, which is done: 1 job has published no mc"


def test_of_a_parent_that_delivered_everything_nothing_is_missing(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    Task.objects.update(note="for the alignment of May")
    work(storage, "mc1")
    work(storage, "reco1")
    cycle(2)
    assert (task("reco1").state, task("reco1").inputs_missing) == ("done", "")
    assert task("reco1").note == "for the alignment of May"


def test_a_job_of_the_parent_that_succeeds_later_lets_a_done_task_go_on(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    fail(leased(), "configuration", "fail")
    cycle(3)
    assert (task("reco1").state, states("reco1")) == ("done", [])
    decide(jobs("mc1")[0], "resend")
    work(storage, "mc1")
    assert (task("reco1").state, states("reco1")) == ("running", ["ready"])
    told = AuditEntry.objects.filter(subject="task", subject_id=task("reco1").pk).latest("pk")
    assert (told.who, told.actor) == (WHY.who, "person"), "it goes on by the decision on the job of its parent"
    work(storage, "reco1")
    cycle(2)
    assert (task("reco1").state, task("reco1").inputs_missing) == ("done", "")


def test_a_cancelled_parent_ends_the_chain_until_it_is_resumed(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    given = leased()
    work(storage, "mc1")
    work(storage, "reco1")
    decide_on_task("mc1", "cancel")
    cycle(3)
    assert given is not None
    assert task("reco1").state == "done"
    assert task("reco1").inputs_missing == "1 job has published no mc"
    decide_on_task("mc1", "resume")
    send(given, report_of(given, cause="killed", action="retry"))
    cycle()
    assert work(storage, "mc1") == 1
    assert (task("reco1").state, states("reco1")) == ("running", ["ready", "finished"])
    told = AuditEntry.objects.filter(subject="task", subject_id=task("reco1").pk).latest("pk")
    assert (told.who, WHY.why in told.why) == (WHY.who, True), "it goes on by the decision on its parent"


# ------------------------------------------------------------------------------------------------- produced again


def test_a_job_that_waits_is_held_until_its_input_is_produced_again(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    before = jobs("reco1")[0]
    decide(jobs("mc1")[0], "resend")
    cycle()
    assert states("reco1") == ["defined"]
    assert work(storage, "reco1") == 0, "it is not given out"
    work(storage, "mc1", events=7)
    (made,) = jobs("reco1")
    assert (made.pk, made.state) == (before.pk, "ready")
    assert made.adler32 != before.adler32
    assert made.adler32 == Output.objects.valid().get(kind="mc").adler32


def test_a_finished_job_runs_again_with_an_input_that_holds_something_else(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    given = leased()
    work(storage, "mc1")
    work(storage, "reco1")
    (first,) = jobs("reco1")
    assert given is not None
    decide(source_of(first), "resend")
    cycle()
    assert states("reco1") == ["finished"], "so far there is nothing else to read"
    work(storage, "mc1", events=7)
    first.refresh_from_db()
    assert (first.state, first.outputs.valid().count()) == ("ready", 0)
    told = AuditEntry.objects.filter(subject="job", subject_id=first.pk, after="ready").latest("pk")
    assert (told.who, "its input was produced again by job" in told.why) == (WHY.who, True)


def test_the_same_content_produced_again_lets_everything_be(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    leased()
    work(storage, "mc1")
    work(storage, "reco1")
    (first,) = jobs("reco1")
    decide(source_of(first), "resend")
    work(storage, "mc1")
    first.refresh_from_db()
    assert first.state == "finished"
    assert first.source == Output.objects.valid().get(kind="mc")


def test_a_job_that_failed_for_its_input_is_sent_again_with_the_new_one(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    fail(leased(), "input-corrupt", "manual-check")
    assert states("reco1") == ["manual"]
    decide(jobs("mc1")[0], "resend")
    work(storage, "mc1", events=7)
    assert states("reco1") == ["ready"]


def test_a_job_that_a_person_cancelled_stays_cancelled(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    decide(jobs("reco1")[0], "cancel")
    decide(jobs("mc1")[0], "resend")
    work(storage, "mc1", events=7)
    (made,) = jobs("reco1")
    assert made.state == "cancelled"
    assert made.adler32 == Output.objects.valid().get(kind="mc").adler32


def test_a_job_at_work_ends_before_it_gets_the_new_input(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    given = leased()
    assert given.job.task == "reco1"
    decide(jobs("mc1")[0], "resend")
    work(storage, "mc1", events=7)
    assert states("reco1") == ["sent"]
    fail(given)
    cycle()
    (made,) = jobs("reco1")
    assert (made.state, made.adler32) == ("ready", Output.objects.valid().get(kind="mc").adler32)


def test_what_was_published_for_good_waits_for_a_decision_and_can_be_accepted(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    work(storage, "reco1")
    cycle(2)
    assert task("reco1").state == "done"
    decide(jobs("mc1")[0], "resend")
    work(storage, "mc1", events=7)
    (made,) = jobs("reco1")
    assert (made.state, task("reco1").state) == ("manual", "running")
    assert "was produced again, and holds something else" in made.diag
    assert made.outputs.valid().count() == 2, "its files count until somebody decides"
    decide(made, "accept")
    cycle(2)
    assert (states("reco1"), task("reco1").state) == (["finished"], "done")


def test_an_input_that_is_not_produced_again_cancels_the_job_that_waits_for_it(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    work(storage, "mc1")
    decide(jobs("mc1")[0], "resend")
    fail(leased_of("mc1"), "configuration", "fail")
    cycle(3)
    assert (states("reco1"), task("reco1").state) == (["cancelled"], "done")
    decide(jobs("mc1")[0], "resend")
    work(storage, "mc1")
    assert (states("reco1"), task("reco1").state) == (["ready"], "running"), "it comes after all"


# ------------------------------------------------------------------------------------------------ merges, files


def test_runs_are_merged_when_no_further_chunk_can_come(storage: MemoryStorage) -> None:
    submit(generation(jobs=2))
    submit(reconstruction(merges=["mdst"]))
    given = leased()
    work(storage, "mc1")
    work(storage, "reco1")
    cycle(2)
    assert Product.objects.get().state == "waiting", "the second chunk of the run is still to come"
    fail(given, "configuration", "fail")
    cycle(3)
    assert Product.objects.get().state == "merging"


def test_a_run_is_merged_anew_with_a_chunk_that_comes_late(storage: MemoryStorage) -> None:
    submit(generation(jobs=2))
    submit(reconstruction(merges=["mdst"]))
    fail(leased(), "configuration", "fail")
    work(storage, "mc1")
    for _ in range(4):
        do_all(storage)
        cycle()
    assert (Product.objects.get().state, task("reco1").state) == ("kept", "done")
    failed = next(job for job in jobs("mc1") if job.state == "failed")
    decide(failed, "resend")
    work(storage, "mc1")
    assert (Product.objects.get().round, task("reco1").state) == (2, "running")
    for _ in range(4):
        do_all(storage)
        cycle()
    assert (Product.objects.get().state, Product.objects.get().events) == ("kept", 200)


def test_merged_files_are_inputs_when_their_run_is_kept(storage: MemoryStorage, readers: None) -> None:
    submit(generation(jobs=2))
    submit(reconstruction(merges=["mdst"]))
    work(storage, "mc1")
    submit(analysis(merged=True))
    assert work(storage, "reco1") == 2
    assert (Product.objects.get().state, states("ana1")) == ("merging", [])
    assert work(storage, "reco1") == 1
    cycle(2)
    assert Product.objects.get().state == "kept"
    (made,) = jobs("ana1")
    assert (made.file, made.events, made.chunk) == (Output.objects.valid().get(job__product="mdst").url, 200, None)
    transact(lambda: move_product(Product.objects.get().pk, "remerge", WHY))
    cycle(2)
    assert states("ana1") == ["defined"], "it waits for the next round"
    work(storage, "reco1")
    cycle(2)
    assert states("ana1") == ["ready"]


def test_chunk_files_of_a_parent_stay_while_a_task_reads_them(storage: MemoryStorage, readers: None) -> None:
    submit(generation(jobs=1))
    submit(reconstruction(merges=["mdst"]))
    work(storage, "mc1")
    work(storage, "reco1")
    submit(analysis())
    for _ in range(3):
        work(storage, "reco1")
    assert task("reco1").state == "done"
    decide_on_task("reco1", "archive")
    cycle(4)
    assert task("reco1").state == "archiving"
    assert [url for url in storage.files if "/mDST.chunks/" in url], "the other task needs them"
    assert work(storage, "ana1") == 1
    cycle(4)
    assert (task("ana1").state, task("reco1").state) == ("done", "archived")
    assert not [url for url in storage.files if "/mDST.chunks/" in url]


def test_a_task_follows_the_one_that_replaces_its_parent(storage: MemoryStorage) -> None:
    submit_chain(jobs=1)
    decide_on_task("mc1", "cancel")
    cycle()
    assert task("reco1").state == "done", "the outputs of the cancelled task were all there were"
    submit(generation("mc2", parameters={**task("mc1").parameters, "production": "mc1"}, replaces="mc1", jobs=1))
    assert task("reco1").parent == task("mc1"), "one that has ended is left as it is"
    submit(generation("mc3", parameters={**task("mc1").parameters, "soft": "mc3", "production": "mc3"}, jobs=1))
    submit(reconstruction("mc3", "reco3"))
    decide_on_task("mc3", "cancel")
    step("cancelled")
    submit(generation("mc4", parameters=task("mc3").parameters, replaces="mc3", jobs=1))
    assert task("reco3").parent == task("mc4")
    work(storage, "mc4")
    assert states("reco3") == ["ready"]


def test_a_task_cannot_replace_one_whose_outputs_come_back_to_it(storage: MemoryStorage, readers: None) -> None:
    submit_chain(jobs=1)
    submit(analysis())
    decide_on_task("reco1", "cancel")
    step("cancelled")
    circle = {**reconstruction(), "name": "reco2", "replaces": "reco1"}
    circle["type"], circle["files"] = "back", {"outputs_of": {"task": "ana1", "kind": "hist"}}
    with pytest.raises(RefusalError, match="the task reco2 would read its own outputs"):
        submit(circle)


def test_a_name_of_another_task_leaves_the_output_out_with_the_reason(storage: MemoryStorage) -> None:
    submit_chain(jobs=2)
    other = task("mc1").pk
    (key,) = list(PublishedFile.objects.filter(task=task("reco1").pk).values_list("pk", flat=True)[:1])
    PublishedFile.objects.filter(pk=key).update(task=other)
    work(storage, "mc1")
    assert len(states("reco1")) == 1
    assert "is that of task mc1" in LeftOutInput.objects.get().why
    assert step("inputs") == 0
