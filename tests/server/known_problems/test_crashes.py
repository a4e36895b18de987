"""Crashes, several at once, and what one failure does to the others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from pilotext.server.database import transact
from pilotext.server.production import transitions
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.dispatch.leases import expire_leases
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.merging import groups
from pilotext.server.production.merging.groups import start_merges
from pilotext.server.production.models import (
    Attempt,
    AttemptReport,
    AuditEntry,
    Experiment,
    Job,
    MergeGroup,
    Output,
    Product,
)
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JOB
from pilotext.server.production.transitions import Reason
from pilotext.server.rows import insert_rows
from pilotext.server.times import EPOCH
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import EVENTS, chunks, cycle, do, do_all, product, storage, submit_runs
from tests.server.support import WHY, fail, lease, leased, raw, submit, succeed, the_job
from tests.server.trail import gaps

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")


class PowerCutError(Exception):
    """Stands for a process that ends in the middle."""


def everything() -> dict[str, list[Any]]:
    """Every row of every table of the production."""
    models = apps.get_app_config("production").get_models()
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in models}


def cut_at_every_write(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Do `work`, broken off at each of its lines in the audit trail in turn, and at last whole.

    Each time it must have left nothing. Returns how often it was broken off.
    """
    real = insert_rows
    for cut_after in range(100):
        left, before = [cut_after], everything()

        def insert_or_cut(*arguments: Any, left: list[int] = left) -> None:
            if left[0] == 0:
                raise PowerCutError
            left[0] -= 1
            real(*arguments)

        monkeypatch.setattr(transitions, "insert_rows", insert_or_cut)
        try:
            work()
        except (PowerCutError, ExceptionGroup):
            monkeypatch.setattr(transitions, "insert_rows", real)
            assert everything() == before, f"broken off at line {cut_after}, it left something"
        else:
            monkeypatch.setattr(transitions, "insert_rows", real)
            return cut_after
    raise AssertionError("it never ends")


@pytest.mark.fault("dispatch", "server killed between what it does and what it writes down")
def test_a_server_that_dies_while_it_sends_a_job_sends_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known problem 7 of the legacy system: between submission and the update of its row, a job was submitted again."""
    assert cut_at_every_write(submit, monkeypatch) >= 3
    assert cut_at_every_write(leased, monkeypatch) >= 1
    assert Attempt.objects.count() == 1
    assert lease() is None
    given = Attempt.objects.get()
    assert (given.number, the_job().attempts, the_job().state) == (1, 1, "sent")


@pytest.mark.fault("dispatch", "answer to getJob lost")
def test_a_job_whose_answer_was_lost_is_not_given_to_somebody_else_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known problem 7 of the legacy system: no key told one submission from the same one again."""
    submit()
    first = leased()  # nobody heard the answer
    assert lease("wn2") is None
    Attempt.objects.update(lease_until=EPOCH)
    expire_leases()
    Job.objects.update(not_before=EPOCH)
    second = leased("wn2")
    assert not succeed(first).accepted, "the first may not end what the second has"
    assert cut_at_every_write(lambda: succeed(second), monkeypatch) >= 2
    assert Output.objects.filter(state="valid").count() == 3
    assert Counter(Output.objects.values_list("name", flat=True)).most_common(1)[0][1] == 1


@pytest.mark.fault("merging", "server killed between what it does and what it writes down")
def test_a_server_that_dies_while_it_sends_a_merge_sends_it_once(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known problem 7 of the legacy system: merges had no key either."""
    submit_runs({1: 3})
    do_all(storage)
    assert cut_at_every_write(start_merges, monkeypatch) >= 3
    assert start_merges() == 0
    assert (MergeGroup.objects.count(), Job.objects.filter(product="mdst").count()) == (1, 1)
    assert len(leased().job.inputs) == 3


def test_decisions_reports_and_the_cycle_at_the_same_time_lose_no_update_of_each_other() -> None:
    """Known problem 8 of the legacy system: whole rows were read and written back by many, with what they had been."""
    submit([raw(1, chunk) for chunk in range(6)], max_attempts=100)
    given = [leased() for _ in range(6)]
    jobs = [each.job.job for each in given]
    refused: list[RefusalError] = []

    def decide(word: str) -> Callable[[], None]:
        def work() -> None:
            for job in jobs:
                try:
                    transact(lambda job=job: move_job(job, word, WHY))  # type: ignore[misc]
                except RefusalError as error:
                    refused.append(error)

        return work

    def report() -> None:
        for number, each in enumerate(given):
            (succeed if number % 2 else fail)(each)

    def keep_cycling() -> None:
        for _ in range(5):
            run_once(STEPS[:4])

    at_once(report, decide("cancel"), decide("resend"), decide("cancel"), keep_cycling)
    assert gaps() == []
    assert AttemptReport.objects.count() == len(given)
    for job in Job.objects.all():
        finished = job.tries.filter(state="finished").exists()
        valid = Output.objects.filter(job=job, state="valid").exists()
        assert valid == (job.state == "finished"), (job.state, finished)


def at_once(*works: Callable[[], None]) -> None:
    """Do all at the same time, each in a thread; what one of them raises is raised."""
    begin, wrong = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        try:
            begin.wait(60)
            work()
        except BaseException as error:  # noqa: BLE001  raised below
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]


def test_what_was_read_before_somebody_else_moved_it_moves_nothing() -> None:
    """Known problem 8 of the legacy system, without chance: what was read may be old when it is written."""
    submit()
    old = the_job()
    transact(lambda: move_job(old.pk, "cancel", WHY))
    told = AuditEntry.objects.count()
    reason = Reason("dispatch", "attempt 1", "attempt")
    assert not transact(lambda: transitions.advance_one(JOB, old, ("ready",), "sent", reason, attempts=1))
    assert (the_job().state, the_job().attempts, AuditEntry.objects.count()) == ("cancelled", 0, told)


def test_several_cycles_at_the_same_time_do_each_step_once(storage: MemoryStorage) -> None:
    """Known problem 15 of the legacy system: a lock by the list of processes held nobody back, and duplicates began."""
    submit_runs(dict.fromkeys(range(1, 5), 2), merges=("mdst", "hist"))
    do_all(storage)

    def turn() -> None:
        for _ in range(3):
            moved = run_once(STEPS)
            assert -1 not in moved.values(), moved

    for _ in range(3):
        at_once(turn, turn, turn)
        do_all(storage)
    cycle(2)
    assert {each.state for each in Product.objects.all()} == {"kept"}
    assert {each.events for each in Product.objects.filter(merge="mdst")} == {2 * EVENTS}
    assert MergeGroup.objects.count() == Job.objects.exclude(product="").count() == 8
    doubled = Counter(AuditEntry.objects.filter(subject="product").values_list("subject_id", "before", "after"))
    assert doubled.most_common(1)[0][1] == 1
    assert gaps() == []


def test_a_row_that_is_missing_holds_its_own_run_and_no_other(storage: MemoryStorage) -> None:
    """Known problem 17 of the legacy system: one missing row ended the pass for every task."""
    submit_runs({1: 1, 2: 1})
    do_all(storage)
    cycle()
    do_all(storage)
    AttemptReport.objects.filter(attempt__job=chunks(run=1)[0]).delete()
    cycle(2)
    assert (product(run=1).state, product(run=2).state) == ("manual", "kept")
    assert "mDST-1-0-0-7.root" in product(run=1).finding


def test_an_experiment_without_a_profile_holds_no_other(storage: MemoryStorage) -> None:
    """Known problem 16 of the legacy system: one bad task starved all the others."""
    submit_runs({1: 1, 2: 1})
    Experiment.objects.create(pk=0, name="AAAA", number=1)
    do_all(storage)
    bad = Product.objects.get(run=1)
    Product.objects.filter(pk=bad.pk).update(merge="of an older profile")
    moved = run_once(STEPS)
    assert moved["merge"] == moved["breakers"] == -1, "it is told, as a failed step"
    assert product(run=2).state == "merging"
    do_all(storage)
    run_once(STEPS)
    run_once(STEPS)
    assert product(run=2).state == "kept"
    bad.refresh_from_db()
    assert bad.state == "waiting"


def test_a_job_that_the_profile_knows_no_more_keeps_no_lease_and_no_report_of_others_waiting() -> None:
    """Known problem 17 of the legacy system: what was not where it was looked for ended the pass."""
    submit([raw(1, chunk) for chunk in range(4)])
    silent, good, bad, other = leased(), leased(), leased(), leased()
    Job.objects.exclude(pk=other.job.job).update(type="of an older profile")
    Attempt.objects.update(expected_files="")  # given out by a server of a former version, which kept none
    assert succeed(good).accepted
    assert fail(bad).accepted
    Attempt.objects.filter(state="leased").update(lease_until=EPOCH)
    assert expire_leases() == 2
    assert Attempt.objects.get(pk=silent.attempt).state == "lost"
    manual = Job.objects.filter(state="manual")
    assert {job.pk for job in manual} == {silent.job.job, good.job.job, bad.job.job}
    assert all("older profile" in event.why for event in AuditEntry.objects.filter(subject="job", after="manual"))
    assert Job.objects.get(pk=other.job.job).state == "ready"
    Job.objects.update(type="mass production")  # the profile is mended
    assert transact(lambda: move_job(good.job.job, "accept", WHY)) == [good.job.job]
    assert Output.objects.filter(job=good.job.job, state="valid").count() == 3
    assert gaps() == []


def test_runs_that_wait_for_another_merge_do_not_take_the_place_of_those_that_could_begin(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known problem 16 of the legacy system, with many: what cannot begin would be looked at first, again and again."""
    monkeypatch.setattr(groups, "AT_ONCE", 1)
    submit_runs({1: 1, 2: 1}, merges=("mdst", "hist"))
    do_all(storage)
    cycle()
    fail(leased(), "input-corrupt", "manual-check")
    cycle(2)
    assert product("hist", run=1).state == "waiting", "for the mDST, which somebody has to look at"
    assert product("mdst", run=2).state == "merging"


def test_what_is_kept_with_no_bytes_is_made_anew(storage: MemoryStorage) -> None:
    """Known problem 13 of the legacy system: what was to be done with a file of no bytes ended with a NameError."""
    kept = "memory://tape//castor/cern.ch/compass/generalprod/oracle_dst/soft/mDST/mDST-1-0-7.root"
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    do(leased(), storage)
    storage.files[kept] = b""
    cycle()
    assert product().state == "kept"
    assert len(storage.files[kept]) == Output.objects.get(job__product="mdst").size > 0
