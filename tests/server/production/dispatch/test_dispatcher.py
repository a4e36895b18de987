from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import IntegrityError, connection

from pilotext.api.schemas.attempts import Heartbeat
from pilotext.errors import UsageError
from pilotext.server.database import transact
from pilotext.server.production.access.tokens import fingerprint
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher, Lease
from pilotext.server.production.dispatch.leases import heartbeat
from pilotext.server.production.dispatch.tickets import fetch_job, hand_over
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Agent, Attempt, Job, Site, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.transitions import Reason
from pilotext.server.times import EPOCH
from pilotext.worker.job_checks import check
from tests.server.support import events, fail, lease, leased, raw, site, submit, succeed, the_job

pytestmark = pytest.mark.usefixtures("database")


def test_a_ready_job_is_given_out_whole() -> None:
    submit()
    given = leased()
    check(given.job)
    assert given.job.job == the_job().pk
    assert given.job.report is not None
    assert given.job.report.url.endswith(f"/api/v1/attempts/{given.attempt}/report")
    assert the_job().state == "sent"
    assert events("job", the_job().pk) == [("ready", "sent")]


def test_a_job_that_is_out_is_not_given_again() -> None:
    submit()
    leased()
    assert lease() is None


def by_key(key: str, *, agent: str = "a", again: bool = True) -> Lease | None:
    """What an agent is given that asks with this key."""
    row, _ = Agent.objects.get_or_create(name=agent, site=site())
    asker = Asker(site(), "wn1", row, key)
    return Dispatcher().give_again(asker) if again else Dispatcher().give(asker)


def test_a_job_whose_answer_was_lost_is_given_to_the_same_request_again() -> None:
    submit([raw(1, 1), raw(1, 2)])
    lost, again = by_key("k", again=False), by_key("k")
    assert lost is not None
    assert again is not None
    assert (again.attempt, again.job.job) == (lost.attempt, lost.job.job)
    assert Attempt.objects.get().number == Job.objects.get(state="sent").attempts == 1
    assert heartbeat(again.attempt, again.token, Heartbeat("payload")).command == "go-on"
    with pytest.raises(RefusalError):  # whoever had that answer after all, does not run the job beside us
        heartbeat(lost.attempt, lost.token, Heartbeat("payload"))


def test_a_job_whose_answer_was_lost_and_that_the_profile_knows_no_more_keeps_no_others_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit([raw(1, 1), raw(1, 2)])
    assert by_key("k", again=False) is not None
    with monkeypatch.context() as other_profile:
        other_profile.setattr("pilotext.server.production.dispatch.dispatcher.build_job", _no_such_type)
        assert by_key("k") is None
    assert leased().job.chunk == 2


def _no_such_type(*_: object) -> None:
    raise UsageError("COMPASS has no type of that name.")


def test_a_job_whose_task_was_cancelled_meanwhile_is_not_given_again() -> None:
    """The cycle has not cancelled it yet."""
    submit()
    assert by_key("k", again=False) is not None
    Task.objects.update(state="cancelled")
    assert by_key("k") is None
    Task.objects.update(state="paused")
    assert by_key("k") is not None, "what was given out goes on"


def ticket_of(given: Lease) -> str:
    return hand_over(given, "a pilot").partition("?ticket=")[2]


def test_a_ticket_of_a_cancelled_task_fetches_no_job_before_the_next_cycle_either() -> None:
    submit()
    given = leased()
    ticket = ticket_of(given)
    Task.objects.update(state="cancelled")
    with pytest.raises(RefusalError, match="the task of this job, t1, was cancelled"):
        fetch_job(given.attempt, ticket)
    Task.objects.update(state="running")
    assert fetch_job(given.attempt, ticket).job == given.job.job


def test_a_job_is_not_given_again_to_another_request_nor_once_it_is_at_work() -> None:
    submit()
    given = by_key("k", again=False)
    assert given is not None
    assert by_key("other") is None
    assert by_key("k", agent="another") is None
    assert by_key("") is None
    heartbeat(given.attempt, given.token, Heartbeat("payload"))
    assert by_key("k") is None


def test_the_token_is_kept_as_its_fingerprint_only() -> None:
    submit()
    given = leased()
    kept = Attempt.objects.values().get()
    assert kept["token"] == fingerprint(given.token)
    assert given.token not in str(kept)


def test_many_that_ask_at_once_get_different_jobs() -> None:
    submit([raw(1, chunk) for chunk in range(20)])
    given: list[Lease] = []

    def ask() -> None:
        dispatcher = Dispatcher()  # as in processes of their own
        while (found := lease(dispatcher=dispatcher)) is not None:
            given.append(found)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(found.job.job for found in given) == Counter(Job.objects.values_list("pk", flat=True))


def test_the_database_itself_refuses_a_second_active_attempt() -> None:
    submit()
    leased()
    first = Attempt.objects.get()
    with pytest.raises(IntegrityError):
        transact(
            lambda: Attempt.objects.create(
                job=first.job, task=first.task, site=first.site, number=2, token="x", lease_s=1, lease_until=EPOCH
            )
        )


def test_a_paused_task_gives_nothing_out_and_takes_what_comes() -> None:
    submit([raw(1, 1), raw(1, 2)])
    given = leased()
    transact(lambda: move_task(Task.objects.get().pk, "pause", Reason("me", "no beam", "person")))
    assert Task.objects.get().state == "paused"
    assert lease() is None
    assert succeed(given).accepted


def test_the_higher_priority_goes_first() -> None:
    submit([raw(1, 1)], name="low")
    submit([raw(1, 2)], name="high", priority=100)
    assert [leased().job.task, leased().job.task] == ["high", "low"]


def test_equal_tasks_share_by_their_shares() -> None:
    submit([raw(1, chunk) for chunk in range(30)], name="small")
    submit([raw(2, chunk) for chunk in range(30)], name="large", share=2.0)
    got = Counter(leased().job.task for _ in range(12))
    assert got == {"large": 8, "small": 4}


def test_a_full_site_gets_nothing_until_a_place_is_free() -> None:
    submit([raw(1, chunk) for chunk in range(3)])
    Site.objects.update(max_active=2)
    first, _ = leased(), leased()
    assert lease() is None
    succeed(first)
    assert lease() is not None


def test_a_closed_site_gets_nothing() -> None:
    submit()
    Site.objects.update(closed="its disk is full")
    assert lease() is None


def test_a_task_for_another_site_is_not_for_this_one() -> None:
    submit(sites=["FRONTERA_COMPASS_TEST"])
    assert lease() is None


def test_a_job_that_waits_is_not_given_before_its_time() -> None:
    submit()
    fail(leased())
    assert the_job().state == "ready"
    assert lease() is None
    Job.objects.update(not_before=EPOCH)
    assert leased().job.attempt == 2


def test_a_job_that_the_profile_cannot_make_is_put_aside_and_the_next_given() -> None:
    submit([raw(1, 1), raw(1, 2)])
    first = Job.objects.order_by("pk").first()
    assert first is not None
    Job.objects.filter(pk=first.pk).update(file="/castor/nonsense")
    assert leased().job.chunk == 2
    first.refresh_from_db()
    assert (first.state, first.attempts) == ("manual", 0)
    assert "nonsense" in first.diag
