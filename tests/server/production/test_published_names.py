"""Published names: each belongs to one task, and only its files are written over or removed."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from msgspec.structs import replace

from pilotext.api.schemas.tasks import TaskSettings
from pilotext.model import job as worker_job
from pilotext.model.job import PLACEHOLDER
from pilotext.model.report import Try
from pilotext.model.verdict import Finding
from pilotext.profile import load_experiment
from pilotext.server.database import transact
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.manual_decisions.jobs import hindered, move_jobs
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.manual_decisions.tasks import change_task, move_task
from pilotext.server.production.models import Attempt, AuditEntry, Job, LogArchive, Output, Product, PublishedFile, Task
from pilotext.server.production.published_names import NamesTakenError
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.verification import verify_outputs
from pilotext.server.production.states import OPEN_JOB
from pilotext.server.production.submission.backfill import name_tasks
from pilotext.server.production.submission.naming import key_of
from pilotext.server.times import EPOCH
from pilotext.storage.base import FileStat
from pilotext.storage.memory import MemoryStorage
from tests.server.meanwhile import Meanwhile
from tests.server.merged import ON_MEMORY, TAPE, cycle, do, do_all, product, storage, submit_runs
from tests.server.support import PARAMETERS, WHY, avoid, fail, lease, leased, raw, report_of, send, submit

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")
COMPASS = load_experiment("COMPASS")
KEPT = f"{TAPE}/castor/cern.ch/compass/generalprod/oracle_dst/soft/mDST/mDST-1-0-7.root"
OTHER = {**ON_MEMORY, "prodslt": 1}


def task(name: str = "t1") -> Task:
    return Task.objects.get(name=name)


def finish(storage: MemoryStorage) -> None:
    """Do all there is to do of all tasks, up to their end."""
    for _ in range(4):
        do_all(storage)
        cycle(2)


def archive(name: str) -> None:
    assert transact(lambda: move_task(task(name).pk, "archive", WHY)) == [task(name).pk]


def owner(url: str) -> str:
    return PublishedFile.objects.get(pk=key_of(url)).task.name


def test_another_task_of_the_same_names_is_refused_with_the_list() -> None:
    submit([raw(1, 1), raw(1, 2)], merges=None)
    with pytest.raises(NamesTakenError, match="belong to other tasks") as caught:
        submit([raw(1, 2), raw(1, 3)], name="t2", merges=None, parameters=PARAMETERS)
    words = str(caught.value)
    assert "/mDST.chunks/mDST-1-2-0-7.root is t1's (job 2)" in words
    # of chunk 2 three outputs; of run 1 three merged files, three copies, the archive of its logs; that of all logs
    assert caught.value.count == 3 + 3 + 3 + 1 + 1
    assert {url.rpartition("/")[2] for url, _ in caught.value.taken} >= {"prod.1.tar.gz", "prod_logFiles.tar"}
    assert (Task.objects.count(), Job.objects.count()) == (1, 2), "nothing of it is left"


@pytest.mark.parametrize("changed", [{"soft": "soft2", "production": "prod2"}, {"prodslt": 1, "production": "prod2"}])
def test_another_slot_or_software_has_names_of_its_own(changed: dict[str, object]) -> None:
    submit([raw(1, 1)], merges=None)
    submit([raw(1, 1)], name="t2", merges=None, parameters={**PARAMETERS, **changed})
    assert Task.objects.get(name="t2").names == Task.objects.get(name="t1").names == 3 + 6 + 1 + 1


def test_other_runs_of_the_same_production_share_the_archive_of_all_logs() -> None:
    """A second task for the rest of a production needs a name of its own for its logs: `production` gives it."""
    submit([raw(1, 1)], merges=None)
    with pytest.raises(NamesTakenError, match=r"1 published name belongs .*/prod_logFiles\.tar is t1's"):
        submit([raw(2, 1)], name="t2", merges=None, parameters=PARAMETERS)
    submit([raw(2, 1)], name="t2", merges=None, parameters={**PARAMETERS, "production": "prod-2"})


@pytest.mark.parametrize("server", ["root://EOSCOMPASS.cern.ch:1094//", "roots://eoscompass.cern.ch/"])
def test_another_spelling_of_a_server_is_the_same_name(server: str) -> None:
    submit([raw(1, 1)])
    with pytest.raises(NamesTakenError):
        submit([raw(1, 1)], name="t2", parameters={**PARAMETERS, "eos_server": server})


def test_the_same_task_again_is_no_conflict() -> None:
    first = submit([raw(1, 1)])
    assert submit([raw(1, 1)]).task == first.task


def test_two_that_submit_the_same_names_at_once_do_not_both_get_them() -> None:
    other = Meanwhile(lambda: submit([raw(1, 1)], name="t2", parameters=PARAMETERS))

    def first() -> None:
        submit([raw(1, 1)], name="t1")
        other.begin()

    transact(first)
    with pytest.raises(NamesTakenError):
        other.end()
    assert [each.name for each in Task.objects.all()] == ["t1"]
    assert set(PublishedFile.objects.values_list("task__name", flat=True)) == {"t1"}


def test_archiving_one_task_leaves_the_files_of_another_that_are_equal_byte_for_byte(storage: MemoryStorage) -> None:
    """A database of a time when names had no owners: two tasks with the same names, and the later one wrote last."""
    submit_runs({1: 2}, name="t1", merges=("mdst",))
    Task.objects.update(names=None)
    PublishedFile.objects.all().delete()
    finish(storage)
    PublishedFile.objects.all().delete()
    submit_runs({1: 2}, name="t2", merges=("mdst",))
    PublishedFile.objects.filter(job=None).update(task=task("t1"))
    while (given := lease()) is not None:
        do(given, storage)
    before = {url for url in storage.files if "/mDST.chunks/" in url}
    archive("t1")
    cycle(4)
    assert {url for url in storage.files if "/mDST.chunks/" in url} == before
    assert Output.objects.filter(job__task=task("t2"), job__product="", kind="mdst", state="valid").count() == 2


def test_keeping_never_writes_over_a_file_that_is_there(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    storage.files[KEPT] = b"of an earlier production system"
    finish(storage)
    assert storage.files[KEPT] == b"of an earlier production system"
    assert product().state == "manual"
    assert f"{KEPT}: another file is there" in product().finding
    del storage.files[KEPT]
    transact(lambda: move_product(product().pk, "accept", WHY))
    finish(storage)
    assert (product().state, task().state) == ("kept", "done")
    assert KEPT in storage.files


def test_a_file_of_no_bytes_makes_place_where_the_task_owns_the_name(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    storage.files[KEPT] = b""
    finish(storage)
    assert owner(KEPT) == "t1"
    assert (product().state, task().state) == ("kept", "done")
    assert len(storage.files[KEPT]) == Output.objects.get(kept=KEPT, state="valid").size > 0


def test_a_file_of_no_bytes_stays_where_the_name_is_of_another_task(storage: MemoryStorage) -> None:
    submit([raw(7, 1)], name="t2")
    submit_runs({1: 1})
    PublishedFile.objects.filter(pk=key_of(KEPT)).update(task=task("t2"))
    storage.files[KEPT] = b""
    finish(storage)
    assert (storage.files[KEPT], product().state) == (b"", "manual")
    assert "is t2's" in product().finding


@pytest.mark.parametrize("there", [b"x", PLACEHOLDER], ids=["one byte", "what stands for no output"])
def test_keeping_never_writes_over_a_file_however_small_it_is(storage: MemoryStorage, there: bytes) -> None:
    submit_runs({1: 1})
    storage.files[KEPT] = there
    finish(storage)
    assert (storage.files[KEPT], product().state) == (there, "manual")


def test_a_file_that_is_filled_before_it_could_make_place_stays(storage: MemoryStorage) -> None:
    """Between the look that finds it without bytes and the one before its removal."""
    submit_runs({1: 1})
    storage.files[KEPT] = b""
    stat = storage.stat

    def and_somebody_writes(url: str) -> FileStat:
        found = stat(url)
        if url == KEPT:
            storage.files[KEPT] = b"of somebody else"
        return found

    storage.stat = and_somebody_writes  # type: ignore[method-assign]
    finish(storage)
    assert (storage.files[KEPT], product().state) == (b"of somebody else", "manual")


def test_keeping_never_writes_over_a_file_that_comes_while_it_copies(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_runs({1: 1})
    put = storage.put

    def and_somebody_else(**arguments: Any) -> object:
        if arguments["url"].startswith(TAPE):
            storage.files[KEPT] = b"of somebody else"
        return put(**arguments)

    monkeypatch.setattr(storage, "put", and_somebody_else)
    finish(storage)
    assert (storage.files[KEPT], product().state) == (b"of somebody else", "manual")


def test_a_file_of_equal_size_that_is_on_tape_already_is_not_taken_for_our_own(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    storage.files[KEPT] = b"x" * 1000
    storage.tape.add(KEPT)
    finish(storage)
    assert product().state == "manual"
    assert "cannot be compared" in product().finding


def test_a_copy_of_an_earlier_round_makes_place_for_that_of_the_next(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    finish(storage)
    first = storage.files[KEPT]
    transact(lambda: move_jobs(Job.objects.filter(chunk=1), "resend", WHY))
    while (given := lease()) is not None:
        do(given, storage, events=7 if given.job.kind != "merging" else None)
        cycle(2)
    finish(storage)
    assert (product().state, product().round) == ("kept", 2)
    assert storage.files[KEPT] != first
    kept = Output.objects.get(kept=KEPT, state="valid")
    assert kept.size == len(storage.files[KEPT])


def test_a_log_archive_on_tape_is_not_written_over_and_archiving_goes_on_when_it_was_moved(
    storage: MemoryStorage,
) -> None:
    logs = f"{TAPE}/castor/cern.ch/user/n/na58dst1/prodlogs/2016/prod_logFiles.tar"
    submit_runs({1: 1})
    storage.files[logs] = b"of others"
    finish(storage)
    archive("t1")
    cycle(3)
    held = LogArchive.objects.get(run=None)
    assert (storage.files[logs], held.state) == (b"of others", "manual")
    assert "another file is there" in held.finding
    assert any(url.endswith(".job.log.tgz") for url in storage.files), "nothing is removed before it is kept"
    del storage.files[logs]
    archive("t1")
    cycle(4)
    assert task().state == "archived"


# ------------------------------------------------------------------------------------------------------- successors


def cancelled(storage: MemoryStorage, name: str = "t1") -> None:
    """A task of a run of two chunks, cancelled when one of them had finished."""
    submit_runs({1: 2}, name=name)
    do(leased(), storage)
    transact(lambda: move_task(task(name).pk, "cancel", WHY))
    cycle()


def test_a_successor_takes_over_the_names_and_the_records_say_so(storage: MemoryStorage) -> None:
    cancelled(storage)
    names = task().names
    submit_runs({1: 2}, name="t2", replaces="t1")
    assert set(PublishedFile.objects.values_list("task__name", flat=True)) == {"t2"}
    assert (task("t2").replaces, task("t2").names) == (task("t1"), names)
    assert set(Output.objects.filter(job__task=task("t1")).values_list("state", flat=True)) == {"superseded"}
    told = AuditEntry.objects.filter(subject="names").order_by("pk").values_list("task", "after", "why")
    assert [(pk, after) for pk, after, _ in told] == [
        (task("t1").pk, "passed to t2"),
        (task("t2").pk, "taken over from t1"),
    ]
    finish(storage)
    assert task("t2").state == "done"
    assert owner(KEPT) == "t2"


def test_a_task_that_was_replaced_publishes_merges_archives_and_removes_nothing(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, name="t1")
    finish(storage)
    submit_runs({1: 1}, name="t2", replaces="t1")
    before = dict(storage.files)
    replaced = r"t1 was replaced by t2"
    for word in ("start", "pause", "resume", "cancel", "archive"):
        with pytest.raises(RefusalError, match=replaced):
            transact(lambda word=word: move_task(task("t1").pk, word, WHY))  # type: ignore[misc]
    for word in ("remerge", "accept", "merge-without", "resend-missing"):
        with pytest.raises(RefusalError, match=replaced):
            transact(lambda word=word: move_product(Product.objects.get(task=task("t1")).pk, word, WHY))  # type: ignore[misc]
    mine = Job.objects.filter(task=task("t1"))
    assert set(hindered(mine, "resend").values()) == {
        "its task t1 was replaced by t2, which owns its published names now"
    }
    assert transact(lambda: move_jobs(mine, "resend", WHY)) == []
    cycle(2)
    assert storage.files == before


def test_a_product_of_a_replaced_task_that_was_not_kept_yet_is_not_kept(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, name="t1")
    do_all(storage)
    run_once(tuple(step for step in STEPS if step.name != "keep"))
    do_all(storage)
    run_once(tuple(step for step in STEPS if step.name != "keep"))
    assert product().state == "checked"
    transact(lambda: move_task(task().pk, "cancel", WHY))
    cycle_without_keeping = tuple(step for step in STEPS if step.name != "keep")
    run_once(cycle_without_keeping)
    submit_runs({1: 1}, name="t2", replaces="t1", start=False)
    cycle(3)
    assert KEPT not in storage.files
    assert Product.objects.get(task=task("t1")).state == "checked"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("running", "t1 is running; only one that is done, archived or cancelled can be replaced"),
        ("missing", "there is no task 't0' to replace"),
        ("others", "owns none of these names"),
        ("replaced", "t1 was replaced by t1b"),
    ],
)
def test_only_a_task_that_has_ended_can_be_replaced(how: str, words: str, storage: MemoryStorage) -> None:
    submit_runs({1: 1}, name="t1", parameters=OTHER if how == "others" else ON_MEMORY)
    if how != "running":
        transact(lambda: move_task(task("t1").pk, "cancel", WHY))
        cycle()
    if how == "replaced":
        submit_runs({1: 1}, name="t1b", replaces="t1")
    parameters = {**ON_MEMORY, "production": "p2"} if how == "others" else ON_MEMORY
    with pytest.raises(RefusalError, match=words):
        submit_runs({1: 1}, name="t2", replaces="t0" if how == "missing" else "t1", parameters=parameters)
    assert not Task.objects.filter(name="t2").exists()


@pytest.mark.parametrize("state", OPEN_JOB)
def test_a_job_that_is_not_cancelled_yet_keeps_its_task_from_being_replaced(state: str, storage: MemoryStorage) -> None:
    submit_runs({1: 1}, name="t1")
    transact(lambda: move_task(task("t1").pk, "cancel", WHY))
    cycle()
    Job.objects.update(state=state)
    with pytest.raises(RefusalError, match="the jobs of t1 are just being cancelled"):
        submit_runs({1: 1}, name="t2", replaces="t1")
    Job.objects.update(state="cancelled")
    submit_runs({1: 1}, name="t2", replaces="t1")


def test_an_attempt_that_is_at_work_keeps_its_task_from_being_replaced(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, name="t1")
    given = leased()
    transact(lambda: move_task(task("t1").pk, "cancel", WHY))
    cycle()
    with pytest.raises(RefusalError, match="1 attempt of t1 has not ended yet"):
        submit_runs({1: 1}, name="t2", replaces="t1")
    do(given, storage)
    submit_runs({1: 1}, name="t2", replaces="t1")


def test_names_of_a_third_task_are_refused_to_a_successor_too(storage: MemoryStorage) -> None:
    cancelled(storage)
    submit_runs({2: 1}, name="t2", parameters={**ON_MEMORY, "production": "p2"})
    with pytest.raises(NamesTakenError, match="t2's"):
        submit_runs({1: 1, 2: 1}, name="t3", replaces="t1")
    assert set(PublishedFile.objects.filter(task=task("t1")).values_list("task__name", flat=True)) == {"t1"}
    assert not Task.objects.filter(name="t3").exists()


# ------------------------------------------------------------------------------------- what a worker may write over


def test_the_first_attempt_of_a_job_may_replace_nothing() -> None:
    submit()
    job = leased().job
    assert (job.unreported, {output.replaces for output in job.outputs}) == (False, {()})


def test_what_an_earlier_attempt_has_reported_may_be_replaced_and_nothing_else(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=())
    do(leased(), storage)
    transact(lambda: move_jobs(Job.objects.all(), "resend", WHY))
    again = leased().job
    assert again.unreported is False
    mine = {row.name: (row.size, row.adler32) for row in Output.objects.all()}
    told = {output.published_name: [(file.size, file.adler32) for file in output.replaces] for output in again.outputs}
    assert told == {name: [file] for name, file in mine.items()}


def test_an_attempt_that_was_heard_of_no_more_may_have_published() -> None:
    submit()
    leased(lease_s=-1.0)
    cycle()
    Job.objects.update(not_before=EPOCH)
    avoid({})
    assert leased("wn2").job.unreported is True


def fail_publishing(given: Lease, *findings: str, **fields: Any) -> None:
    """Report that the stage-out of an attempt has failed with these findings."""
    found = tuple(Finding(name, "it failed", "stage-out") for name in findings)
    report = report_of(given, cause="storage", action="retry")
    send(given, replace(report, **{"phase": "stage-out", "exit_status": 68, "findings": found, **fields}))


def next_attempt() -> worker_job.Job:
    Job.objects.update(not_before=EPOCH)
    avoid({})
    return leased("wn2").job


URL = "root://eos//out/mDST-1-0-7.root"
LEFT = Try(URL, "unreachable", "left behind: it does not answer", 1.0)
PART_LEFT = replace(LEFT, url="root://eos//out/.mDST-1-0-7.root.t1-1-1.part")
AWAY = Try(URL, "unreachable", "it does not answer", 1.0)


@pytest.mark.parametrize(
    ("finding", "tries"),
    [
        ("stage-out-exists", ()),
        ("stage-out-exists", (AWAY,)),
        ("stage-out-exists", (PART_LEFT,)),
        ("stage-out-denied", (Try(URL, "denied", "no", 1.0), Try(URL, "of-another-version", "no", 1.0))),
        ("stage-out-no-space", ()),
    ],
)
def test_an_attempt_whose_stage_out_was_refused_has_published_nothing(finding: str, tries: tuple[Try, ...]) -> None:
    """The next one wrote over the file of somebody else for which it had been refused."""
    submit()
    fail_publishing(leased(), "log-not-delivered", finding, tries=tries)
    assert next_attempt().unreported is False


@pytest.mark.parametrize(
    ("findings", "tries"),
    [
        (("stage-out-unreachable",), (AWAY,)),
        (("stage-out-denied",), (AWAY,)),
        (("stage-out-exists",), (LEFT,)),
        (("stage-out-denied",), (PART_LEFT, LEFT)),
        (("evicted",), ()),
        ((), ()),
    ],
    ids=["away", "away, then refused", "left", "left too", "told to stop", "killed"],
)
def test_an_attempt_that_may_have_given_names_and_did_not_tell_may_have_published(
    findings: tuple[str, ...], tries: tuple[Try, ...]
) -> None:
    submit()
    fail_publishing(leased(), *findings, tries=tries)
    assert next_attempt().unreported is True


def test_a_report_that_came_late_tells_what_was_published(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=())
    given = leased(lease_s=-1.0)
    cycle()
    Job.objects.update(not_before=EPOCH)
    avoid({})
    second = leased("wn2")
    do(given, storage)
    fail(second)
    third = next_attempt()
    assert third.unreported is False
    assert all(len(output.replaces) == 1 for output in third.outputs)


@pytest.mark.usefixtures("comparing")
@pytest.mark.fault("report", "somebody else's file has the name of an output when the success is compared")
def test_after_a_success_that_was_refused_only_the_reported_files_may_be_replaced(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=())
    given = leased()
    do(given, storage)
    url = next(url for url in storage.files if "mDST" in url)
    mine, storage.files[url] = storage.files[url], b"the only copy of somebody else's result"
    verify_outputs()
    assert Attempt.objects.get().code == "COMPASS-5212"
    again = next_attempt()
    assert again.unreported is False
    known = {file.size for output in again.outputs for file in output.replaces}
    assert known == {len(mine)}


def test_a_successor_of_a_task_that_was_refused_may_not_replace_what_is_there(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, name="t1", merges=())
    fail_publishing(leased(), "stage-out-exists")
    transact(lambda: move_task(task("t1").pk, "cancel", WHY))
    cycle()
    submit_runs({1: 1}, name="t2", merges=(), replaces="t1")
    given = leased("wn2").job
    assert (given.task, given.unreported) == ("t2", False)


def test_a_successor_may_replace_what_its_predecessor_has_published(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, name="t1", merges=())
    do(leased(), storage)
    finish(storage)
    submit_runs({1: 1}, name="t2", merges=(), replaces="t1")
    given = leased().job
    known = {file for output in given.outputs for file in output.replaces}
    assert {(file.size, file.adler32) for file in known} == set(Output.objects.values_list("size", "adler32"))
    assert (given.task, given.unreported) == ("t2", False)


def test_names_that_a_replaced_task_kept_pass_to_the_next_successor(storage: MemoryStorage) -> None:
    submit_runs({1: 1, 2: 1}, name="t1")
    finish(storage)
    submit_runs({1: 1}, name="t2", replaces="t1")
    finish(storage)
    submit_runs({2: 1}, name="t3", replaces="t2")
    finish(storage)
    assert task("t3").state == "done"
    outputs = Output.objects.filter(job__run=2, job__task=task("t1"))
    assert set(outputs.values_list("state", flat=True)) == {"superseded"}
    assert {owner(each.url) for each in outputs} == {"t3"}
    assert owner(Output.objects.filter(job__run=1, job__task=task("t2")).earliest("pk").url) == "t2"
    told = AuditEntry.objects.filter(subject="names", after="passed to t3").values_list("task", flat=True)
    assert set(told) == {task("t1").pk, task("t2").pk}


# --------------------------------------------------------------------------------- databases of a time before


@pytest.fixture
def two_of_one_name(database: object, storage: MemoryStorage) -> None:
    """A database of a time when names had no owners: two running tasks with the same names."""
    for name in ("t1", "t2"):
        submit_runs({1: 2}, name=name, merges=("mdst",), start=name == "t1")
        Task.objects.update(names=None)
        PublishedFile.objects.all().delete()
    assert name_tasks() == 2


@pytest.mark.usefixtures("two_of_one_name")
def test_of_two_tasks_of_one_name_the_one_that_publishes_last_owns(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "VERIFY_OUTPUTS", True)
    finish(storage)
    transact(lambda: move_task(task("t2").pk, "start", WHY))
    while (given := lease()) is not None:
        do(given, storage)
    cycle()
    chunks = Output.objects.filter(job__task=task("t2"), job__product="", state="valid")
    assert {owner(each.url) for each in chunks} == {"t2"}
    assert set(Output.objects.filter(job__task=task("t1"), job__product="").values_list("state", flat=True)) == {
        "superseded"
    }
    archive("t1")
    cycle(4)
    assert {each.url for each in chunks} <= set(storage.files)


@pytest.mark.usefixtures("two_of_one_name")
def test_of_two_tasks_of_one_name_one_can_replace_the_other_when_that_has_ended(storage: MemoryStorage) -> None:
    transact(lambda: move_task(task("t2").pk, "start", WHY))
    transact(lambda: move_task(task("t1").pk, "pause", WHY))
    finish(storage)
    held = Product.objects.get(task=task("t2"))
    assert held.state == "manual"
    assert "`pilotext tasks set t2 --replaces TASK --why ...`" in held.finding
    asked = TaskSettings("it takes its place", replaces="t1")
    with pytest.raises(RefusalError, match="t1 is paused; only one that is"):
        transact(lambda: change_task(task("t2").pk, asked, WHY))
    transact(lambda: move_task(task("t1").pk, "cancel", WHY))
    cycle()
    assert transact(lambda: change_task(task("t2").pk, asked, WHY)) == [task("t2").pk]
    transact(lambda: move_product(held.pk, "remerge", WHY))
    finish(storage)
    assert task("t2").state == "done"
    assert owner(KEPT) == "t2"
    assert task("t2").names == PublishedFile.objects.filter(task=task("t2")).count()
    with pytest.raises(RefusalError, match="has replaced another one already"):
        transact(lambda: change_task(task("t2").pk, asked, WHY))
    with pytest.raises(RefusalError, match="t1 was replaced by t2"):
        transact(lambda: change_task(task("t1").pk, TaskSettings("no", replaces="t2"), WHY))


def test_tasks_of_a_time_before_get_their_names_the_earliest_first() -> None:
    submit([raw(1, 1), raw(1, 2)], name="t1", merges=None)
    mine = set(PublishedFile.objects.values_list("key", "job"))
    Task.objects.update(names=None)
    PublishedFile.objects.all().delete()
    submit([raw(1, 2), raw(1, 3)], name="t2", merges=None, parameters=PARAMETERS)
    Task.objects.update(names=None)
    PublishedFile.objects.all().delete()
    assert name_tasks() == 2
    assert mine == set(PublishedFile.objects.filter(task=task("t1")).values_list("key", "job"))
    assert (task("t1").names, task("t2").names) == (6 + 6 + 1 + 1, 3)
    why = AuditEntry.objects.get(subject="names", subject_id=task("t2").pk).why
    assert "11 others belong to other tasks (t1)" in why
    assert name_tasks() == 0
