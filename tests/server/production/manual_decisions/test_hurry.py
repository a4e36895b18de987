"""Waiting jobs go before all others by a decision of a person."""

from __future__ import annotations

import pytest

from pilotext.server.database import transact
from pilotext.server.production.manual_decisions.jobs import HURRIED, move_job
from pilotext.server.production.models import AuditEntry, Job
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.times import now
from tests.server.support import WHY, fail, lease, leased, raw, submit, succeed

pytestmark = pytest.mark.usefixtures("database")


def hurry(job: int) -> list[int]:
    return transact(lambda: move_job(job, "hurry", WHY))


def test_a_hurried_job_goes_before_jobs_of_tasks_with_a_higher_priority() -> None:
    submit([raw(1, 1), raw(1, 2)], name="first")
    submit([raw(2, 1)], name="urgent", priority=100_000)
    last = Job.objects.get(run=1, chunk=2).pk
    assert hurry(last) == [last]
    assert [leased().job.job, leased().job.task] == [last, "urgent"]


def test_a_hurried_job_does_not_wait_after_its_failure_and_another_does() -> None:
    submit([raw(1, 1), raw(1, 2)])
    failed, other = leased(), leased()
    fail(failed, "conditions-db", "retry")
    fail(other, "conditions-db", "retry")
    assert lease() is None
    hurry(failed.job.job)
    assert leased().job.job == failed.job.job
    assert lease() is None


def test_a_job_whose_former_attempt_is_at_work_waits_for_its_end() -> None:
    submit([raw(1, 1)])
    job = leased().job.job
    transact(lambda: move_job(job, "cancel", WHY))
    transact(lambda: move_job(job, "resend", WHY))
    assert hurry(job) == [job]
    assert Job.objects.get().not_before > now()
    assert lease() is None


def test_a_decision_to_hurry_stands_in_the_history_of_the_job_once() -> None:
    submit([raw(1, 1)])
    job = Job.objects.get().pk
    assert (hurry(job), hurry(job)) == ([job], [])
    told = AuditEntry.objects.filter(subject="priority").values_list("subject_id", "who", "before", "after", "why")
    assert list(told) == [(job, "maria", "2000", str(HURRIED), WHY.why)]
    assert [each.subject for each in describe_job(job).events].count("priority") == 1


def test_a_job_at_work_or_ended_cannot_be_hurried() -> None:
    submit([raw(1, 1)])
    given = leased()
    assert hurry(given.job.job) == []
    succeed(given)
    assert hurry(given.job.job) == []
    assert Job.objects.get().priority == 2000
