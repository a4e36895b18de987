"""Jobs that a factory hands to PanDA, from the lease to the end, as the server sees them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pilotext.api.schemas.attempts import QUEUED_IN_PANDA
from pilotext.api.schemas.panda import HeldAttempt, PandaJob, PandaJobState, PandaRequest, PandaStates
from pilotext.server.production.dispatch.dispatcher import Dispatcher
from pilotext.server.production.dispatch.leases import expire_leases
from pilotext.server.production.dispatch.panda import take_jobs, take_states
from pilotext.server.production.dispatch.tickets import GOOD_FOR_S, fetch_job
from pilotext.server.production.models import Attempt, Job
from pilotext.server.production.refusal import RefusalError
from pilotext.server.times import now
from tests.server.support import SITE, leased, raw, site, submit

LABEL = "f1.grid"
pytestmark = pytest.mark.usefixtures("database")


def take(count: int) -> list[PandaJob]:
    return list(take_jobs(Dispatcher(), site(), PandaRequest(SITE, LABEL, count), "factory"))


def say(*states: PandaJobState, pilot: str = "factory", holder: str = LABEL) -> list[HeldAttempt]:
    return take_states(site(), PandaStates(SITE, holder, states), pilot)


def attempt(number: int) -> Attempt:
    return Attempt.objects.select_related("job").get(pk=number)


def ticket(job: PandaJob) -> str:
    return job.address.rpartition("?ticket=")[2]


@pytest.fixture
def taken() -> PandaJob:
    submit()
    (job,) = take(5)
    say(PandaJobState(job.attempt, 40, "defined"))
    return job


def test_as_many_jobs_are_taken_as_asked_for_and_there_are() -> None:
    submit((raw(1, 11), raw(1, 12), raw(1, 13)))
    assert len(take(2)) == 2
    (last,) = take(5)
    assert f"/api/v1/attempts/{last.attempt}/job?ticket=" in last.address
    assert [held.task for held in say()] == [0, 0, 0]


def test_an_attempt_waits_in_panda_and_runs_when_panda_says_so(taken: PandaJob) -> None:
    say(PandaJobState(taken.attempt, 40, "activated", 101))
    row = attempt(taken.attempt)
    assert (row.state, row.job.state, row.phase) == ("leased", "sent", QUEUED_IN_PANDA)
    assert say(PandaJobState(taken.attempt, 40, "running", 101)) == [HeldAttempt(taken.attempt, 40, 101)]
    row = attempt(taken.attempt)
    assert (row.state, row.job.state, row.panda_task, row.panda_job) == ("running", "running", 40, 101)


def test_a_heartbeat_renews_the_lease_and_the_ticket_stays_good_in_the_queue(taken: PandaJob) -> None:
    long_ago = now() - timedelta(seconds=2 * GOOD_FOR_S)
    Attempt.objects.update(leased=long_ago, lease_until=now())
    say(PandaJobState(taken.attempt, 40, "activated", 101))
    assert expire_leases() == 0
    assert fetch_job(taken.attempt, ticket(taken)).attempt == 1
    with pytest.raises(RefusalError, match="does not belong"):
        fetch_job(taken.attempt, ticket(taken))


def test_holding_is_not_the_end_and_finished_is_no_success_without_a_report(taken: PandaJob) -> None:
    say(PandaJobState(taken.attempt, 40, "holding", 101))
    assert attempt(taken.attempt).pilot_said == {}
    say(PandaJobState(taken.attempt, 40, "finished", 101))
    row = attempt(taken.attempt)
    assert (row.state, row.pilot_said["state"]) == ("running", "finished")
    Attempt.objects.update(lease_until=now() - timedelta(seconds=1))
    expire_leases()
    row = attempt(taken.attempt)
    assert (row.state, row.verdict) == ("lost", "failure")


def test_the_codes_of_panda_decide_where_no_report_came(taken: PandaJob) -> None:
    diag = "COMPASS-1241 cannot-allocate: no memory"
    say(PandaJobState(taken.attempt, 40, "failed", 101, pilot_code=1305, error_code=581241, error_diag=diag))
    Attempt.objects.update(lease_until=now() - timedelta(seconds=1))
    expire_leases()
    assert attempt(taken.attempt).code == "COMPASS-1241"


def test_a_cancelled_job_is_to_be_killed(taken: PandaJob) -> None:
    Attempt.objects.update(stop="its job was cancelled")
    (held,) = say(PandaJobState(taken.attempt, 40, "running", 101))
    assert held == HeldAttempt(taken.attempt, 40, 101, "its job was cancelled")


def test_an_attempt_that_was_given_up_is_to_be_killed_though_it_is_not_held(taken: PandaJob) -> None:
    Attempt.objects.update(state="lost")
    Job.objects.update(state="cancelled")
    (held,) = say(PandaJobState(taken.attempt, 40, "running", 101))
    assert (held.attempt, held.job, held.unwanted) == (taken.attempt, 101, "this attempt is lost")


def test_one_that_has_reported_is_neither_held_nor_killed(taken: PandaJob) -> None:
    Attempt.objects.update(state="finished")
    assert say(PandaJobState(taken.attempt, 40, "running", 101)) == []


def test_labels_and_tokens_hold_their_own_attempts_only(taken: PandaJob) -> None:
    assert [held.attempt for held in say()] == [taken.attempt]
    assert say(holder="f1.other") == []
    assert say(pilot="another") == []
    with pytest.raises(RefusalError, match="no such job"):
        say(PandaJobState(taken.attempt, 40, "running", 101), pilot="another")


def test_an_attempt_that_is_not_pandas_is_refused() -> None:
    submit()
    other = leased()
    Attempt.objects.update(pilot="factory")
    with pytest.raises(RefusalError, match="no such job in PanDA"):
        say(PandaJobState(other.attempt, 40, "running", 101))
