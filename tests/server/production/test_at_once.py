"""Two cycles, or a cycle and a person, that work at the same rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from pilotext.server.database import transact
from pilotext.server.production.cycle import tasks as task_machine
from pilotext.server.production.cycle.runner import STEPS
from pilotext.server.production.cycle.tasks import end_cancelled, finish_tasks, take_up_again
from pilotext.server.production.manual_decisions import jobs as job_decisions
from pilotext.server.production.manual_decisions import merged_runs
from pilotext.server.production.manual_decisions import tasks as task_decisions
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.merging import groups
from pilotext.server.production.merging.groups import finish_merges, start_merges
from pilotext.server.production.models import Attempt, Job, MergeGroup, Product, StagedFile, Task
from pilotext.server.production.states import GROUP, PRODUCT, Machine
from pilotext.server.production.tape import requests, staging
from pilotext.server.times import now
from pilotext.storage.memory import MemoryStorage
from tests.server.meanwhile import Meanwhile
from tests.server.merged import EVENTS, ON_MEMORY, cycle, do, do_all, product, storage, submit_runs
from tests.server.support import WHY, fail, leased, raw, submit, succeed, the_job

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")


def resend(job: int) -> list[int]:
    return transact(lambda: job_decisions.move_job(job, "resend", WHY))


def move_task(word: str) -> list[int]:
    return transact(lambda: task_decisions.move_task(Task.objects.get().pk, word, WHY))


def begins_at(
    patch: pytest.MonkeyPatch, other: Meanwhile, module: Any, name: str, when: Callable[..., bool] = lambda *_: True
) -> None:
    """Let the other one begin just before the module calls this function, for the first time with such arguments."""
    real: Callable[..., Any] = getattr(module, name)

    def call(*given: Any, **more: Any) -> Any:
        if when(*given):
            other.begin()
        return real(*given, **more)

    patch.setattr(module, name, call)


def moves(machine: Machine, to: str) -> Callable[..., bool]:
    """Whether `advance` is called for this."""
    return lambda *given: (given[0], given[3]) == (machine, to)


def to_the_end(storage: MemoryStorage) -> None:
    for _ in range(4):
        do_all(storage)
        cycle(2)


def test_a_chunk_sent_again_while_its_merge_is_finished_is_in_the_merge(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_runs({1: 2, 2: 2})
    do_all(storage)
    cycle()
    do_all(storage)
    chunk = Job.objects.filter(run=2, product="")[0].pk
    other = Meanwhile(lambda: resend(chunk))
    with monkeypatch.context() as patch:
        begins_at(patch, other, groups, "advance", moves(GROUP, "merged"))
        finish_merges()
        other.end()
    assert (product(run=2).state, product(run=2).round) == ("waiting", 2)
    to_the_end(storage)
    assert (product(run=2).state, product(run=2).events) == ("kept", 2 * EVENTS)


def test_a_chunk_that_was_left_out_and_is_sent_again_while_the_merge_begins_is_in_it(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_runs({1: 2})
    do(leased(), storage)
    bad = leased()
    fail(bad, "crash", "fail")
    cycle()
    transact(lambda: move_product(product().pk, "merge-without", WHY))
    assert bad.job.job is not None
    job = bad.job.job
    other = Meanwhile(lambda: resend(job))
    with monkeypatch.context() as patch:
        begins_at(patch, other, groups, "_make_groups")
        start_merges()
        other.end()
    to_the_end(storage)
    assert (product().state, product().events, product().left_out) == ("kept", 2 * EVENTS, [])


def test_a_held_run_that_two_cycles_take_up_is_merged_once(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_runs({1: 2})
    do_all(storage)
    Product.objects.update(state="manual")

    def another_cycle() -> None:
        finish_merges()
        start_merges()

    other = Meanwhile(another_cycle)
    with monkeypatch.context() as patch:
        begins_at(patch, other, groups, "advance", moves(PRODUCT, "waiting"))
        finish_merges()
        other.end()
    to_the_end(storage)
    assert (product().state, product().events) == ("kept", 2 * EVENTS)
    assert MergeGroup.objects.count() == 1


def on_tape(storage: MemoryStorage) -> StagedFile:
    path = "/castor/W14/cdr1-1.raw"
    storage.files[f"memory://tape/{path}"] = b"raw"
    submit([path], name="t1", staging=True, parameters=ON_MEMORY)
    staging.plan_staging()
    StagedFile.objects.update(state="requested", requested=now())
    return StagedFile.objects.get()


def test_a_file_that_comes_while_another_job_begins_to_wait_for_it_lets_it_go_on(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = on_tape(storage)
    submit(
        ["/castor/W14/cdr1-1.raw"], name="t2", staging=True, parameters={**ON_MEMORY, "production": "t2", "prodslt": 2}
    )
    mine = StagedFile.objects.filter(pk=file.pk)
    other = Meanwhile(lambda: transact(lambda: staging.put_online(mine, now())))
    with monkeypatch.context() as patch:
        real = staging._want

        def want(job: Job) -> int:
            moved = real(job)  # it has looked whether the file is there
            other.begin()
            return moved

        patch.setattr(staging, "_want", want)
        staging.plan_staging()
        other.end()
    assert list(Job.objects.values_list("state", flat=True)) == ["ready", "ready"]


def test_a_file_is_not_given_back_while_a_job_begins_to_wait_for_it(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = on_tape(storage)
    move_task("cancel")
    end_cancelled()
    move_task("resume")
    take_up_again()
    assert Job.objects.get().state == "defined"
    other = Meanwhile(lambda: transact(lambda: requests._released([file.pk])))
    with monkeypatch.context() as patch:
        begins_at(patch, other, staging, "advance")
        staging.plan_staging()
        other.end()
    job, file = Job.objects.get(), StagedFile.objects.get()
    assert (job.state, file.state) == ("staging", "requested")


def test_a_task_that_is_resumed_while_its_jobs_are_cancelled_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    submit([raw(1, 1), raw(1, 2)])
    move_task("cancel")

    def resume() -> None:
        move_task("resume")
        take_up_again()

    other = Meanwhile(resume)
    with monkeypatch.context() as patch:
        begins_at(patch, other, task_machine, "cancel_jobs")
        end_cancelled()
        other.end()
    take_up_again()
    assert Task.objects.get().state == "running"
    assert set(Job.objects.values_list("state", flat=True)) == {"ready"}


def test_jobs_are_cancelled_in_the_order_in_which_a_heartbeat_locks_them() -> None:
    """A decision on 1200 jobs took 17 s on PostgreSQL, which broke off 31 transactions that waited in a circle."""
    submit()
    leased()
    move_task("cancel")
    cancelling = Meanwhile(end_cancelled)
    with transaction.atomic():
        Attempt.objects.select_for_update(of=("self",)).get()
        cancelling.begin()  # and waits for the attempt
        Job.objects.select_for_update(nowait=connection.features.has_select_for_update_nowait).get()
    cancelling.end()
    assert (the_job().state, Attempt.objects.get().stop) == ("cancelled", "its task was cancelled")


def test_a_task_is_not_done_while_its_last_job_is_sent_again() -> None:
    submit()
    succeed(leased())
    other = Meanwhile(finish_tasks)

    def resend_slowly() -> None:
        job_decisions.move_job(the_job().pk, "resend", WHY)
        other.begin()

    transact(resend_slowly)
    other.end()
    finish_tasks()
    assert (Task.objects.get().state, the_job().state) == ("running", "ready")


def test_a_task_is_not_done_while_a_run_of_it_is_merged_anew(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    do_all(storage)
    with monkeypatch.context() as patch:
        patch.setattr("tests.server.merged.STEPS", tuple(step for step in STEPS if step.name != "done"))
        cycle(3)
    assert (product().state, Task.objects.get().state) == ("kept", "running")
    other = Meanwhile(finish_tasks)
    with monkeypatch.context() as patch:
        begins_at(patch, other, merged_runs, "reopen")
        transact(lambda: move_product(product().pk, "remerge", WHY))
        other.end()
    assert Task.objects.get().state == "running"
    to_the_end(storage)
    assert (product().state, product().round, Task.objects.get().state) == ("kept", 2, "done")
