"""A task that is put away: logs in archives, products kept, everything else removed, in this order."""

from __future__ import annotations

import io
import tarfile
import zlib
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pilotext.errors import DeniedError, TransientError
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production.cycle import cleaning, log_archives
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import (
    Attempt,
    AttemptReport,
    AuditEntry,
    Job,
    LogArchive,
    Output,
    Product,
    PublishedFile,
    Task,
)
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.storage import operations
from pilotext.server.production.submission.naming import key_of
from pilotext.server.production.transitions import reopen
from pilotext.server.times import EPOCH
from pilotext.storage.base import hex8
from pilotext.storage.leftovers import part_of
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import cycle, do, do_all, product, storage, submit_runs
from tests.server.support import WHY, avoid, fail, leased, submit

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")
KEPT = "memory://tape//castor/cern.ch/compass/generalprod/oracle_dst/soft/mDST/mDST-1-0-7.root"
PART = part_of(KEPT, operations.PART_TAG)
LOGS = "memory://tape//castor/cern.ch/user/n/na58dst1/prodlogs/2016/prod_logFiles.tar"


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (operations, cleaning):
        monkeypatch.setattr(module, "wait_after", lambda *_: 0.0)


def state() -> str:
    return Task.objects.get().state


def done_task(storage: MemoryStorage, runs: dict[int, int], merges: tuple[str, ...] = ("mdst", "hist")) -> None:
    submit_runs(runs, merges=merges)
    do_all(storage)
    for _ in range(3):
        cycle(2)
        do_all(storage)
    cycle()
    assert state() == "done"


def archive() -> None:
    task = Task.objects.get().pk
    assert transact(lambda: move_task(task, "archive", WHY)) == [task]


def chunk_files(storage: MemoryStorage) -> list[str]:
    return [url for url in storage.files if "/mDST.chunks/" in url or "/TRAFDIC/" in url]


def test_chunk_files_go_when_the_merged_file_is_kept_and_its_task_is_put_away(storage: MemoryStorage) -> None:
    done_task(storage, {1: 2, 2: 1})
    assert len(chunk_files(storage)) == 6, "nothing is removed before somebody decides"
    archive()
    cycle(3)
    assert state() == "archived"
    assert chunk_files(storage) == []
    assert set(Output.objects.filter(job__product="", kind="mdst").values_list("state", flat=True)) == {"removed"}
    assert KEPT in storage.files
    assert {each.state for each in Product.objects.all()} == {"cleaned"}


def step(name: str) -> int:
    return run_once(tuple(each for each in STEPS if each.name == name))[name]


def test_nothing_is_removed_for_an_archiving_that_is_refused(storage: MemoryStorage) -> None:
    done_task(storage, {1: 1, 2: 1}, merges=("mdst",))
    submit(name="t2")
    # The profile got its log archives after both tasks were submitted, and the other task was archived before.
    assert PublishedFile.objects.filter(pk=key_of(LOGS)).update(task=Task.objects.get(name="t2"))
    before = dict(storage.files)
    task = Task.objects.get(name="t1")
    transact(lambda: move_task(task.pk, "archive", WHY))
    assert step("clean") == 0, "the archiving may still be refused"
    cycle(2)
    task.refresh_from_db()
    assert (task.state, "it cannot be archived" in task.note) == ("done", True)
    assert storage.files == before


def test_chunk_files_go_without_log_archives_where_the_profile_has_none(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    done_task(storage, {1: 1}, merges=("mdst",))
    without = replace(profile_of("COMPASS"), logs=None)
    for module in (cleaning, log_archives):
        monkeypatch.setattr(module, "profile_of", lambda _name: without)
    archive()
    cycle(2)
    assert (state(), LogArchive.objects.count()) == ("archived", 0)
    assert not [url for url in storage.files if "/mDST.chunks/" in url]


def test_the_logs_of_each_run_and_of_all_runs_are_archived_and_then_removed(storage: MemoryStorage) -> None:
    submit_runs({1: 1, 2: 1}, merges=("mdst",))
    do_all(storage)
    cycle()
    do_all(storage)
    cycle(2)
    logs = [url for url in storage.files if url.endswith(".job.log.tgz")]
    assert len(logs) == 4, "of two chunks and two merges"
    archive()
    cycle(4)
    with tarfile.open(fileobj=io.BytesIO(storage.files[LOGS])) as whole:
        assert whole.getnames() == ["prod.1.tar.gz", "prod.2.tar.gz"]
        run = whole.extractfile("prod.1.tar.gz")
        assert run is not None
        with tarfile.open(fileobj=io.BytesIO(run.read())) as inner:
            assert len(inner.getnames()) == 2
    assert not [url for url in storage.files if url.endswith(".job.log.tgz")]
    assert state() == "archived"


def test_logs_of_other_productions_of_the_same_run_stay_where_they_are(storage: MemoryStorage) -> None:
    """Known problem 23 of the legacy system: patterns over names caught the files of other productions."""
    done_task(storage, {1: 1})
    other = "memory://eos//eos/experiment/compass/generalprod/testcoral/PanDALogs/prod/prod2-1-0-0-7-99-1.job.log.tgz"
    storage.files[other] = b"of somebody else"
    archive()
    cycle(4)
    assert (state(), other in storage.files) == ("archived", True)


def test_logs_of_failed_attempts_are_archived_too_and_a_lost_one_is_told(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=("mdst",))
    fail(leased())
    Job.objects.update(not_before=EPOCH)
    do_all(storage)
    cycle()
    do_all(storage)
    cycle(2)
    lost = next(url for url in storage.files if url.endswith(".job.log.tgz"))
    del storage.files[lost]
    archive()
    cycle(4)
    run = LogArchive.objects.get(run=1)
    assert (len(run.members), state()) == (1, "archived")
    assert run.finding == f"not found: {lost}"


@pytest.mark.fault("report", "a worker delivers its logs and is heard of no more")
def test_logs_that_no_report_tells_of_are_archived_and_removed_too(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=("mdst",))
    lost = leased(lease_s=-1.0)
    assert lost.job.log is not None
    unreported = f"{lost.job.log.destinations[0]}{lost.job.log.name}"
    storage.files[unreported] = b"the last words"
    cycle()
    Job.objects.update(not_before=EPOCH)
    avoid({})
    do_all(storage)
    cycle()
    do_all(storage)
    cycle(2)
    archive()
    cycle(4)
    assert state() == "archived"
    assert unreported in [each[0] for each in LogArchive.objects.get(run=1).members]
    assert unreported not in storage.files


@pytest.mark.fault("report", "a worker is stopped or killed between its report and the delivery of its logs")
def test_logs_that_came_after_the_last_report_are_archived_and_removed_too(storage: MemoryStorage) -> None:
    done_task(storage, {1: 2}, merges=("mdst",))
    log = unreported_log(Attempt.objects.earliest("pk").pk)
    assert log in storage.files
    archive()
    cycle(4)
    assert state() == "archived"
    assert log in [each[0] for each in LogArchive.objects.get(run=1).members]
    assert not [url for url in storage.files if url.endswith(".job.log.tgz")]


@pytest.mark.fault("report", "a worker is killed while it uploads its logs")
@pytest.mark.parametrize("number", [0, 3])
def test_parts_of_logs_whose_upload_was_killed_are_removed(storage: MemoryStorage, number: int) -> None:
    done_task(storage, {1: 1}, merges=("mdst",))
    attempt = Attempt.objects.select_related("job").earliest("pk")
    log = unreported_log(attempt.pk)
    label = f"{Task.objects.get().name}-{attempt.job_id}-{attempt.number}"
    of_others = part_of(log, "another-1-1")
    storage.files[part_of(log, label, number)] = storage.files[of_others] = storage.files.pop(log)[:-1]
    archive()
    cycle(4)
    assert state() == "archived"
    assert [url for url in storage.files if url.endswith(".part")] == [of_others]


def test_a_part_of_a_log_that_cannot_be_removed_keeps_no_task_from_being_archived(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    done_task(storage, {1: 1}, merges=("mdst",))
    attempt = Attempt.objects.select_related("job").earliest("pk")
    log = unreported_log(attempt.pk)
    part = part_of(log, f"{Task.objects.get().name}-{attempt.job_id}-{attempt.number}")
    storage.files[part] = b"half"
    removed = storage.remove

    def refuse(url: str) -> None:
        if url == part:
            raise DeniedError(url, "the folder of logs is closed.")
        removed(url)

    monkeypatch.setattr(storage, "remove", refuse)
    archive()
    cycle(operations.MAX_TRIES + 4)
    assert state() == "archived"
    assert "could not be removed" in Task.objects.get().note
    assert [url for url in storage.files if "job.log.tgz" in url] == [part]


@pytest.mark.fault("report", "a report names a file elsewhere as its log, with the name that its log would have")
@pytest.mark.parametrize(
    "folder", ["memory://eos//eos/of/another/", "root://localhost:1//x/", "no scheme/", "file:///x/"]
)
def test_a_file_elsewhere_that_a_report_names_as_its_log_is_neither_archived_nor_removed(
    storage: MemoryStorage, folder: str
) -> None:
    done_task(storage, {1: 1}, merges=("mdst",))
    kept = AttemptReport.objects.earliest("pk")
    log = from_json(kept.report, Report).log
    assert log is not None
    foreign = f"{folder}{str(log.url).rpartition('/')[2]}"
    report = replace(from_json(kept.report, Report), log=replace(log, url=foreign))
    AttemptReport.objects.filter(pk=kept.pk).update(report=msgspec.json.encode(report).decode())
    storage.files[foreign] = b"of somebody else"
    archive()
    cycle(4)
    run = LogArchive.objects.get(run=1)
    assert state() == "archived"
    assert storage.files[foreign] == b"of somebody else"
    assert run.finding == f"named by reports, but no place of logs: {foreign}"
    assert log.url in [each[0] for each in run.members], "it is looked for where it belongs"


def unreported_log(attempt: int) -> str:
    """Have the report of an attempt name no log; returns the URL of the log that it named."""
    kept = AttemptReport.objects.get(pk=attempt)
    report = from_json(kept.report, Report)
    assert report.log is not None
    AttemptReport.objects.filter(pk=attempt).update(report=msgspec.json.encode(replace(report, log=None)).decode())
    return str(report.log.url)


@pytest.mark.fault("keeping", "the merged file is gone from its final storage")
def test_nothing_is_removed_when_the_merged_file_is_not_where_it_should_be(storage: MemoryStorage) -> None:
    done_task(storage, {1: 2}, merges=("mdst",))
    del storage.files[KEPT]
    archive()
    cycle(3)
    assert len(chunk_files(storage)) == 4
    assert (state(), product().state) == ("archiving", "kept")
    assert "nothing is removed" in product().finding


@pytest.mark.fault("keeping", "the merged file on its final storage is another one")
def test_nothing_is_removed_when_the_merged_file_is_damaged(storage: MemoryStorage) -> None:
    done_task(storage, {1: 1}, merges=("mdst",))
    storage.files[KEPT] = b"x" * len(storage.files[KEPT])
    archive()
    cycle(3)
    assert len(chunk_files(storage)) == 2
    assert product().state == "kept"


def test_a_chunk_file_that_another_production_has_written_over_stays(storage: MemoryStorage) -> None:
    done_task(storage, {1: 1}, merges=("mdst",))
    chunk = Output.objects.get(job__product="", kind="mdst").url
    storage.files[chunk] = b"of somebody else"
    archive()
    cycle(3)
    assert storage.files[chunk] == b"of somebody else"
    assert state() == "archived"


def test_a_merged_file_that_the_run_has_no_more_is_removed_with_its_copy(storage: MemoryStorage) -> None:
    done_task(storage, {1: 1}, merges=("mdst",))
    merged = Output.objects.get(job__product="mdst")
    second = f"{merged.url}.001"
    storage.files[second] = b"second"
    Output.objects.create(
        job=merged.job, attempt=merged.attempt, kind="mdst", name="second", url=second, size=6,
        adler32=hex8(zlib.adler32(b"second")), state="superseded",
    )  # fmt: skip
    archive()
    cycle(3)
    assert second not in storage.files
    assert (merged.url in storage.files, KEPT in storage.files) == (True, True)


@pytest.mark.fault("keeping", "the final storage does not answer")
def test_a_copy_that_fails_is_tried_again_and_its_tries_are_counted(storage: MemoryStorage) -> None:
    """Known problem 12 of the legacy system: tries of copies to tape were never counted."""
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    do_all(storage)
    for _ in range(4):
        storage.fail_next("put", DeniedError(PART, "no"))
    cycle(4)
    assert (product().state, product().tries) == ("copying", 4)
    cycle()
    assert product().state == "kept"


@pytest.mark.fault("keeping", "the final storage refuses for good")
def test_a_copy_that_never_works_waits_for_a_decision(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    do_all(storage)
    for _ in range(operations.MAX_TRIES):
        storage.fail_next("put", DeniedError(PART, "no"))
    cycle(operations.MAX_TRIES)
    assert product().state == "manual"
    assert f"{PART}: no" in product().finding


@pytest.mark.fault("keeping", "broken off in the middle of a copy")
def test_a_copy_that_was_broken_off_is_made_anew_and_a_whole_one_is_not(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    do_all(storage)
    storage.files[PART] = b"the first half"
    cycle()
    assert product().state == "kept"
    assert storage.calls.count(("put", PART)) == 1
    assert PART not in storage.files
    Product.objects.update(state="copying")  # the cycle died before it could say so
    Task.objects.update(state="running")
    cycle()
    assert product().state == "kept"
    assert storage.calls.count(("put", PART)) == 1
    assert PART not in storage.files


@pytest.mark.fault("keeping", "the storage is away while chunk files are removed")
def test_a_removal_that_was_broken_off_goes_on(storage: MemoryStorage) -> None:
    done_task(storage, {1: 3}, merges=("mdst",))
    last = Output.objects.filter(job__product="", kind="mdst").order_by("-pk")[0].url
    storage.fail_next("remove", TransientError(last, "away"))
    archive()
    cycle(3)
    assert state() == "archived"
    assert not [url for url in storage.files if "/mDST.chunks/" in url]


@pytest.mark.fault("keeping", "one log file may not be removed")
def test_a_log_that_cannot_be_removed_stays_and_holds_nothing_else(storage: MemoryStorage) -> None:
    done_task(storage, {1: 2, 2: 1}, merges=("mdst",))
    logs = [url for url in storage.files if url.endswith(".job.log.tgz")]
    held = min(logs)
    for _ in range(operations.MAX_TRIES):
        storage.fail_next("remove", DeniedError(held, "it is immutable"))
    archive()
    cycle(5)
    assert state() == "archiving", "it may be for a while"
    assert [url for url in logs if url in storage.files] == [held], "no other log waits for it"
    cycle(operations.MAX_TRIES)
    assert state() == "archived"
    assert held in storage.files
    assert Task.objects.get().note == "1 log file of run 1 could not be removed; the history of the task says which"
    why = AuditEntry.objects.filter(after="cleaned").exclude(why__endswith="removed").values_list("why", flat=True)
    assert [f"{held}: it is immutable" in each for each in why] == [True]


@pytest.mark.fault("keeping", "one chunk file may not be removed")
def test_a_chunk_file_that_cannot_be_removed_stays_and_its_record_says_so(storage: MemoryStorage) -> None:
    done_task(storage, {1: 3}, merges=("mdst",))
    first = Output.objects.filter(job__product="", kind="mdst").order_by("pk")[0]
    for _ in range(operations.MAX_TRIES):
        storage.fail_next("remove", DeniedError(first.url, "it is immutable"))
    archive()
    cycle(2)
    assert [url for url in storage.files if "/mDST.chunks/" in url] == [first.url]
    cycle(operations.MAX_TRIES + 3)
    assert state() == "archived"
    there = Output.objects.filter(job__product="", kind="mdst").exclude(state="removed")
    assert [each.url for each in there] == [first.url]
    assert "1 file of run 1 could not be removed" in Task.objects.get().note


def test_a_product_that_is_merged_anew_while_it_is_copied_is_not_kept(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    do_all(storage)
    put = storage.put

    def put_and_reopen(**arguments: Any) -> object:
        transact(lambda: reopen(Product.objects.all(), WHY))
        return put(**arguments)

    monkeypatch.setattr(storage, "put", put_and_reopen)
    cycle()
    assert product().state != "kept"
    monkeypatch.setattr(storage, "put", put)
    cycle()
    do_all(storage)
    cycle(2)
    assert (product().state, product().round) == ("kept", 2)


def test_a_task_that_still_has_work_is_not_put_away(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    task = Task.objects.get().pk
    assert transact(lambda: move_task(task, "archive", WHY)) == []
    do(leased(), storage)
    assert state() == "running"
