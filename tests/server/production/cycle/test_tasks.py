"""Tasks that are cancelled, and resumed after all."""

from __future__ import annotations

import pytest

from pilotext.api.schemas.attempts import Heartbeat
from pilotext.server.database import transact
from pilotext.server.production.cycle import tasks as machine
from pilotext.server.production.cycle.tasks import end_cancelled, finish_tasks, take_up_again
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.dispatch.leases import expire_leases, heartbeat
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Attempt, AttemptReport, AuditEntry, Job, Product, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.verification import verify_outputs
from pilotext.server.times import EPOCH
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import cycle, do, do_all, product, storage, submit_runs
from tests.server.support import WHY, events, fail, lease, leased, raw, submit, succeed, the_job

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")


def decide(word: str, task: str = "t1") -> list[int]:
    return transact(lambda: move_task(Task.objects.get(name=task).pk, word, WHY))


def decide_on(job: int, word: str) -> list[int]:
    return transact(lambda: move_job(job, word, WHY))


def states() -> list[str]:
    return list(Job.objects.order_by("pk").values_list("state", flat=True))


def state() -> str:
    return Task.objects.get().state


# -------------------------------------------------------------------------------------------------------------- resumed


def test_a_cancelled_task_goes_on_with_what_was_cancelled_with_it() -> None:
    submit([raw(1, chunk) for chunk in range(5)])
    succeed(leased())
    fail(leased(), "crash", "fail")
    by_hand = leased().job.job
    assert by_hand is not None
    decide_on(by_hand, "cancel")
    Attempt.objects.filter(job=by_hand).update(lease_until=EPOCH)
    expire_leases()
    decide("cancel")
    end_cancelled()
    assert states() == ["finished", "failed", "cancelled", "cancelled", "cancelled"]
    assert lease() is None
    assert decide("resume")
    assert lease() is None, "not before its jobs are there again"
    take_up_again()
    assert states() == ["finished", "failed", "cancelled", "ready", "ready"], "what was cancelled alone stays so"
    assert state() == "running"
    assert {leased().job.chunk, leased().job.chunk} == {3, 4}
    assert [after for _, after in events("task", Task.objects.get().pk)][-4:] == [
        "cancelled",
        "draft",
        "ready",
        "running",
    ]


def test_many_jobs_are_taken_up_some_at_a_time_and_again_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    submit([raw(1, chunk) for chunk in range(7)])
    decide("cancel")
    end_cancelled()
    decide("resume")
    monkeypatch.setattr(machine, "AT_ONCE", 3)
    assert transact(lambda: machine._take_up_some(Task.objects.get().pk)) == 3
    assert (state(), finish_tasks()) == ("draft", 0), "broken off here, it is neither running nor done"
    take_up_again()
    assert (state(), set(states())) == ("running", {"ready"})
    assert take_up_again() == 0


def test_a_task_that_was_cancelled_twice_takes_up_what_was_cancelled_last() -> None:
    submit([raw(1, chunk) for chunk in range(3)])
    decide("cancel")
    end_cancelled()
    decide("resume")
    take_up_again()
    first = Job.objects.order_by("pk")[0].pk
    decide_on(first, "cancel")
    decide("cancel")
    end_cancelled()
    decide("resume")
    take_up_again()
    assert states() == ["cancelled", "ready", "ready"]


def test_a_task_that_is_cancelled_again_before_its_jobs_are_there_forgets_none() -> None:
    submit([raw(1, chunk) for chunk in range(3)])
    decide("cancel")
    end_cancelled()
    decide("resume")
    decide("cancel")
    end_cancelled()
    decide("resume")
    take_up_again()
    assert finish_tasks() == 0
    assert (state(), set(states())) == ("running", {"ready"})


def test_a_cancelled_task_that_nobody_had_started_is_not_started_by_resuming_it() -> None:
    submit(start=False)
    decide("cancel")
    end_cancelled()
    decide("resume")
    take_up_again()
    assert (state(), states()) == ("ready", ["ready"])
    assert take_up_again() == 0
    assert decide("start")
    assert state() == "running"


def test_a_job_is_not_sent_again_while_the_others_of_its_task_are_being_cancelled() -> None:
    """Else the task would run again, with those that the cycle had not come to."""
    submit([raw(1, 1), raw(1, 2)])
    given = leased()
    fail(given, "crash", "fail")
    decide("cancel")
    assert given.job.job is not None
    with pytest.raises(RefusalError, match="is just being cancelled"):
        decide_on(given.job.job, "resend")
    end_cancelled()
    assert decide_on(given.job.job, "resend") == [given.job.job]
    assert (state(), states()) == ("running", ["ready", "cancelled"])


def test_a_task_without_anything_left_is_done_again() -> None:
    submit()
    succeed(leased())
    decide("cancel")
    end_cancelled()
    decide("resume")
    take_up_again()
    finish_tasks()
    assert state() == "done"


@pytest.mark.parametrize(("word", "before"), [("resume", "done"), ("start", "cancelled"), ("start", "paused")])
def test_a_word_for_another_state_moves_nothing(word: str, before: str) -> None:
    submit()
    Task.objects.update(state=before)
    assert decide(word) == []
    assert state() == before


def test_runs_of_a_resumed_task_are_merged_whole(storage: MemoryStorage) -> None:
    submit_runs({1: 3, 2: 1})
    do(leased(), storage)
    decide("cancel")
    cycle(2)
    assert set(Product.objects.values_list("state", flat=True)) == {"waiting"}
    decide("resume")
    cycle()
    do_all(storage)
    cycle()
    merge = leased()
    decide("cancel")
    cycle(2)
    Attempt.objects.filter(pk=merge.attempt).update(lease_until=EPOCH)
    cycle()
    decide("resume")
    cycle(2)
    do_all(storage)
    cycle(3)
    assert [(product(run=run).state, product(run=run).events) for run in (1, 2)] == [("kept", 300), ("kept", 100)]
    assert state() == "done"


# ----------------------------------------------------------------------------------------- an attempt that still runs


def cancelled_at_work() -> tuple[Lease, int]:
    """A job that was cancelled and sent again while its attempt runs; there is another one behind it."""
    submit([raw(1, 1), raw(1, 2)])
    given = leased()
    assert given.job.job is not None
    decide_on(given.job.job, "cancel")
    assert decide_on(given.job.job, "resend") == [given.job.job]
    return given, given.job.job


def test_a_job_is_not_given_out_while_its_cancelled_attempt_runs() -> None:
    given, job = cancelled_at_work()
    Job.objects.filter(pk=job).update(not_before=EPOCH)  # whatever says so
    assert leased("wn2").job.job != job
    assert lease("wn3") is None
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "stop"
    assert lease("wn3") is None


def test_it_goes_on_as_soon_as_that_attempt_has_stopped_and_is_not_charged() -> None:
    given, job = cancelled_at_work()
    assert fail(given, "killed", "retry").accepted is False
    assert Attempt.objects.get().state == "cancelled"
    assert AttemptReport.objects.count() == 1
    again = leased("wn2")
    assert (again.job.job, again.job.attempt) == (job, 2)
    assert Job.objects.get(pk=job).charged == 0


def test_it_goes_on_as_soon_also_when_its_file_is_on_its_way_from_tape_just_then() -> None:
    given, job = cancelled_at_work()
    Job.objects.filter(pk=job).update(state="staging")
    fail(given, "killed", "retry")
    assert Job.objects.get(pk=job).not_before == EPOCH


def test_it_goes_on_when_nothing_is_heard_of_that_attempt() -> None:
    _, job = cancelled_at_work()
    Attempt.objects.update(lease_until=EPOCH)
    expire_leases()
    assert Attempt.objects.get().state == "cancelled"
    assert leased("wn2").job.job == job


def test_what_that_attempt_finished_all_the_same_is_taken() -> None:
    submit()
    given = leased()
    decide_on(the_job().pk, "cancel")
    decide_on(the_job().pk, "resend")
    assert succeed(given).accepted
    assert the_job().state == "finished"
    assert lease("wn2") is None


@pytest.mark.parametrize("state", ["defined", "staging"])
def test_what_that_attempt_finished_is_taken_also_while_the_file_is_on_its_way_from_tape(state: str) -> None:
    given, job = cancelled_at_work()
    Job.objects.filter(pk=job).update(state=state)
    assert succeed(given).accepted
    assert Job.objects.get(pk=job).state == "finished"
    assert Attempt.objects.get().state == "finished"


@pytest.mark.usefixtures("comparing")
@pytest.mark.parametrize("state", ["defined", "staging"])
def test_that_attempt_is_believed_when_its_files_are_there(state: str, storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    given = leased()
    decide_on(the_job().pk, "cancel")
    decide_on(the_job().pk, "resend")
    Job.objects.update(state=state)
    do(given, storage)
    assert the_job().state == "verifying"
    assert verify_outputs() == 1
    assert the_job().state == "finished"


@pytest.mark.usefixtures("comparing")
def test_a_job_waits_for_its_file_again_when_the_files_of_that_attempt_are_not_there(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    given = leased()
    decide_on(the_job().pk, "cancel")
    decide_on(the_job().pk, "resend")
    Task.objects.update(staging=True)
    Job.objects.update(state="staging")
    do(given, storage)
    for url in [each for each in storage.files if "/mDST.chunks/" in each]:
        del storage.files[url]
    assert verify_outputs() == 1
    assert the_job().state == "defined", "its file may have been given back to the tape system"


def test_a_success_that_is_not_used_says_why() -> None:
    given, job = cancelled_at_work()
    Job.objects.filter(pk=job).update(state="manual")
    assert not succeed(given).accepted
    assert Job.objects.get(pk=job).state == "manual"
    told = AuditEntry.objects.filter(subject="attempt", after="cancelled").get()
    assert told.why == f"its success is not used: its job is manual, and it was asked to stop: {WHY.why}"


def test_a_job_that_stays_cancelled_takes_no_result() -> None:
    submit()
    given = leased()
    decide_on(the_job().pk, "cancel")
    assert succeed(given).accepted is False
    assert the_job().state == "cancelled"
