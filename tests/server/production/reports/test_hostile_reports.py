"""Hostile reports, names and decisions: by them files of others were removed, and jobs stayed for ever."""

from __future__ import annotations

import zlib

import pytest
from msgspec.structs import replace

from pilotext.errors import DeniedError, UsageError
from pilotext.model.report import Transfer
from pilotext.server.database import transact
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.manual_decisions.jobs import move_jobs
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.merging import groups
from pilotext.server.production.merging.packing import Piece
from pilotext.server.production.models import Attempt, Job, Product, Task, Verification
from pilotext.server.production.submission.naming import key_of
from pilotext.server.production.waiting.tasks import of_task
from pilotext.server.times import EPOCH, FOREVER
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import ON_MEMORY, TAPE, cycle, do, do_all, storage, submit_runs
from tests.server.support import PARAMETERS, WHY, leased, raw, report_of, send, submit

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")

RAW = "memory://castor//castor/cern.ch/compass/data/2016/raw/W14/cdr11-1.raw"
PRECIOUS = b"precious raw data"


def archive() -> Task:
    task = Task.objects.get()
    transact(lambda: move_task(task.pk, "archive", WHY))
    return task


def cancel_and_resend() -> None:
    transact(lambda: move_jobs(Job.objects.all(), "cancel", WHY))
    transact(lambda: move_jobs(Job.objects.all(), "resend", WHY))


def publish(given: Lease, storage: MemoryStorage) -> tuple[Transfer, ...]:
    told = []
    for file in given.job.outputs:
        url, data = f"{file.destinations[0]}{file.published_name}", b"x" * 1000
        storage.files[url] = data
        told.append(Transfer(file.name, url, len(data), f"{zlib.adler32(data):08x}", 1.0))
    return tuple(told)


def test_a_raw_file_that_a_report_calls_its_log_is_not_removed(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=())
    storage.files[RAW] = PRECIOUS
    given = leased()
    log = Transfer("log", RAW, len(PRECIOUS), f"{zlib.adler32(PRECIOUS):08x}", 1.0)
    send(given, replace(report_of(given), outputs=publish(given, storage), log=log))
    cycle(2)
    archive()
    cycle(4)
    assert storage.files[RAW] == PRECIOUS
    assert Task.objects.get().state == "archived"


def test_a_success_of_a_stopped_attempt_that_proves_wrong_leaves_no_job_verifying(
    storage: MemoryStorage, comparing: None
) -> None:
    submit_runs({1: 1}, merges=())
    given = leased()
    cancel_and_resend()
    do(given, storage)
    for url in [url for url in storage.files if url.endswith(".root")]:
        del storage.files[url]
    cycle(2)
    assert (Job.objects.get().state, Attempt.objects.get().state) == ("ready", "failed")


def test_an_earlier_attempt_that_is_compared_late_says_nothing_about_a_later_one(
    storage: MemoryStorage, comparing: None
) -> None:
    submit_runs({1: 1}, merges=())
    do(leased(), storage)
    Verification.objects.update(busy_until=FOREVER)  # its storage is away
    cancel_and_resend()
    do(leased(), storage, events=50)
    Verification.objects.update(busy_until=EPOCH)
    cycle(2)
    assert Job.objects.get().state == "finished"
    assert dict(Attempt.objects.values_list("number", "state")) == {1: "cancelled", 2: "finished"}


def test_a_report_that_names_an_output_twice_is_no_success(storage: MemoryStorage, comparing: None) -> None:
    submit_runs({1: 1}, merges=())
    given = leased()
    told = publish(given, storage)
    send(given, replace(report_of(given), outputs=(*told, told[0])))
    assert Attempt.objects.get().state == "failed"
    assert -1 not in run_once(STEPS).values()


def test_merged_files_after_the_first_belong_to_the_successor_too(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def each_by_itself(pieces: list[Piece], **_: object) -> list[list[Piece]]:
        return [[piece] for piece in pieces]

    monkeypatch.setattr(groups, "pack", each_by_itself)
    submit_runs({1: 2}, name="t1")
    for _ in range(3):
        do_all(storage)
        cycle(2)
    for url in [url for url in storage.files if url.startswith(TAPE)]:
        del storage.files[url]
    submit_runs({1: 2}, name="t2", replaces="t1")
    for _ in range(3):
        do_all(storage)
        cycle(2)
    assert Product.objects.get(task__name="t2").state == "kept"


def test_a_task_whose_logs_cannot_be_removed_says_so(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=())
    do_all(storage)
    cycle(2)
    log = next(url for url in storage.files if url.endswith(".job.log.tgz"))
    storage.fail_next("remove", DeniedError(log, "not yours"))
    task = archive()
    cycle(2)
    task.refresh_from_db()
    assert task.state == "archiving"
    assert [wait for wait in of_task(task) if "not yours" in wait.what]


@pytest.mark.parametrize(
    "odd", [{"production": "a?b"}, {"production": "a\tb"}, {"production": "x" * 300}, {"soft": "../../x"}]
)
def test_parameters_by_which_no_file_could_be_published_are_refused(odd: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        submit([raw(1, 1)], parameters={**PARAMETERS, **odd})
    assert not Task.objects.exists()


def test_a_port_with_zeros_in_front_is_the_same_port() -> None:
    assert key_of("root://h:01094//a/b") == key_of("root://h//a/b")
    assert key_of("root://[::1]:01094//a/b") == key_of("root://[::1]//a/b")


def test_production_with_a_slash_has_its_logs_archived(storage: MemoryStorage) -> None:
    submit_runs({1: 1}, merges=(), parameters={**ON_MEMORY, "production": "a/b"})
    do_all(storage)
    cycle(2)
    archive()
    cycle(3)
    assert Task.objects.get().state == "archived"
    assert not [url for url in storage.files if url.endswith(".job.log.tgz")]
