"""Factories on the server: what waits for a site, reports, and the list."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pilotext.api.schemas.agents import AgentRegistration
from pilotext.api.schemas.attempts import OUTPUTS_KEPT, Heartbeat
from pilotext.api.schemas.factories import BatchEnd, EndedBatchJob, FactoryReport, LabelReport
from pilotext.server.boot import boot

boot()

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402  needs boot

from pilotext.server.database import transact  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.dispatch.agents import register  # noqa: E402
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher  # noqa: E402
from pilotext.server.production.dispatch.factories import (  # noqa: E402
    BATCH_GRACE_S,
    PILOT_GONE_S,
    accept_report,
    site_work,
)
from pilotext.server.production.dispatch.leases import HEARTBEAT_S, expire_leases, heartbeat  # noqa: E402
from pilotext.server.production.models import (  # noqa: E402
    Agent,
    Attempt,
    AuditEntry,
    Breaker,
    Experiment,
    Factory,
    Job,
    Site,
)
from pilotext.server.production.profiles import remember_all  # noqa: E402
from pilotext.server.production.statistics.factories import list_factories  # noqa: E402
from pilotext.server.times import earlier, later, now  # noqa: E402
from tests.server.calls import Answered, request  # noqa: E402
from tests.server.support import SITE, leased, raw, site, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")


def waiting() -> int:
    return site_work(site(), "f1", "short").waiting


def label(name: str = "short", **fields: Any) -> LabelReport:
    return LabelReport(**{"label": name, "site": SITE, "system": "slurm", "starts": "agent", **fields})


def report(*labels: LabelReport, name: str = "f1", **fields: Any) -> None:
    said = FactoryReport(name, time.time() - 60, labels, "submit1", "1.0", **fields)
    transact(lambda: accept_report(said, {SITE: site()}))


def test_jobs_that_the_site_could_have_now_wait_for_it() -> None:
    submit([raw(1, 1), raw(1, 2), raw(1, 3)])
    submit([raw(2, 1)], name="t2", sites=[SITE])
    other = Site.objects.exclude(name=SITE).filter(experiment=site().experiment).values_list("name", flat=True)[0]
    submit([raw(3, 1)], name="t3", sites=[other])
    assert waiting() == 4
    leased()
    assert waiting() == 3
    Job.objects.filter(state="ready", run=1).update(not_before=later(now(), 100))
    assert waiting() == 1


def test_no_more_jobs_wait_than_the_site_may_run() -> None:
    submit([raw(1, 1), raw(1, 2), raw(1, 3)])
    Site.objects.filter(name=SITE).update(max_active=2)
    assert waiting() == 2
    leased()
    assert waiting() == 1
    leased()
    assert waiting() == 0


def test_a_closed_site_holds_its_jobs_and_says_so() -> None:
    submit()
    Site.objects.filter(name=SITE).update(closed="maintenance")
    found = site_work(site(), "f1", "short")
    assert (found.waiting, found.hold) == (0, "the site is closed: maintenance")


def test_a_breaker_of_all_jobs_holds_them_and_one_that_is_due_lets_one_through() -> None:
    submit([raw(1, 1), raw(1, 2)])
    given = {
        "experiment": Experiment.objects.get(name="COMPASS"),
        "rule": "broken site",
        "site": site(),
        "state": "open",
    }
    breaker = Breaker.objects.create(scope=SITE, due=later(now(), 100), since=now(), **given)
    found = site_work(site(), "f1", "short")
    assert (found.waiting, found.hold) == (0, "a breaker holds all jobs of the site")
    Breaker.objects.filter(pk=breaker.pk).update(due=earlier(now(), 1))
    found = site_work(site(), "f1", "short")
    assert (found.waiting, found.hold) == (1, "")


def test_what_other_labels_have_queued_is_told_while_their_factory_is_heard_of() -> None:
    submit([raw(1, 1)])
    report(label(queued=3, running=9), label("whole-node", queued=2, slots=8), label("unknown", queued=None))
    report(label(queued=5), name="f2")
    assert site_work(site(), "f1", "short").queued_elsewhere == 2 * 8 + 5
    assert site_work(site(), "f2", "short").queued_elsewhere == 3 + 2 * 8
    Factory.objects.filter(name="f2").update(seen=earlier(now(), 10_000))
    assert site_work(site(), "f1", "short").queued_elsewhere == 2 * 8


def test_a_report_takes_the_place_of_the_one_before() -> None:
    remember_all()
    report(label(submitted=3), label("long", submitted=1))
    report(label(submitted=5, queued=2, message="full", message_at=12.0))
    (factory,) = list_factories().factories
    (row,) = factory.labels
    assert (factory.name, factory.host, factory.version, factory.silent) == ("f1", "submit1", "1.0", False)
    assert (row.label, row.submitted, row.queued, row.running) == ("short", 5, 2, None)
    assert (row.message, row.message_at) == ("full", 12.0)


def test_agents_that_ended_are_counted_by_label_with_and_without_a_job() -> None:
    submit([raw(1, 1)])
    report(label(), label("short2"))
    names = ("f1.short.1", "f1.short.2", "f1.short2.1", "f1.short.3", "f2.short.1", "f1.short.4")
    for name in names:
        transact(lambda name=name: register(AgentRegistration(name, SITE), site(), "node"))  # type: ignore[misc]
    agent = Agent.objects.get(name="f1.short.1")
    assert Dispatcher().give(Asker(site(), "wn1", agent)) is not None
    Agent.objects.exclude(name="f1.short.3").update(state="gone")
    Agent.objects.filter(name="f1.short.4").update(seen=earlier(now(), 2 * 86400))
    (factory,) = list_factories().factories
    assert [(row.label, row.with_job, row.without_job) for row in factory.labels] == [("short", 1, 1), ("short2", 0, 1)]


@pytest.mark.parametrize(
    ("name", "registered_s_ago", "agents", "ends_soon"),
    [
        ("f1.short.7", 5000.0, ("f1.short.8",), True),
        ("f1.short.7", 5000.0, ("f1.short.7",), False),
        ("f1.short.7", 5000.0, None, False),
        ("f1.short.7", 5.0, (), False),
        ("f1.short2.7", 5000.0, (), False),
    ],
)
def test_a_job_whose_batch_job_is_gone_is_waited_for_no_longer_than_for_its_heartbeats(
    name: str, registered_s_ago: float, agents: tuple[str, ...] | None, ends_soon: bool
) -> None:
    submit()
    transact(lambda: register(AgentRegistration(name, SITE), site(), "node"))
    Agent.objects.update(registered=earlier(now(), registered_s_ago))
    given = Dispatcher().give(Asker(site(), "wn1", Agent.objects.get()))
    assert given is not None
    report(label(queued=0, running=0, agents=agents))
    left_s = (Attempt.objects.get().lease_until - now()).total_seconds()
    assert (left_s <= 2 * HEARTBEAT_S) == ends_soon
    heartbeat(given.attempt, given.token, Heartbeat("payload"))
    assert Attempt.objects.get().lease_until > later(now(), 2 * HEARTBEAT_S), "it lives"


def given_to_agent(name: str) -> None:
    submit()
    transact(lambda: register(AgentRegistration(name, SITE), site(), "node"))
    assert Dispatcher().give(Asker(site(), "wn1", Agent.objects.get())) is not None


def given_to_pilot(batch_job: str) -> None:
    submit()
    assert Dispatcher().give(Asker(site(), "wn1", batch_job=batch_job)) is not None


def ended(name: str, end: BatchEnd) -> None:
    report(label(queued=0, running=0, ended=(EndedBatchJob(name, end),)))


@pytest.mark.parametrize("give", [given_to_agent, given_to_pilot])
@pytest.mark.parametrize(
    ("end", "cause", "code"),
    [
        ("preempted", "evicted", "COMPASS-5221"),
        ("cancelled", "evicted", "COMPASS-5221"),
        ("time-limit", "evicted", "COMPASS-5221"),
        ("node-failed", "evicted", "COMPASS-5222"),
        ("memory", "memory", "COMPASS-5223"),
        ("failed", "", ""),
    ],
)
def test_an_attempt_whose_batch_job_was_ended_is_lost_soon_with_the_reason(
    give: Callable[[str], None], end: BatchEnd, cause: str, code: str
) -> None:
    give("f1.short.7_1")
    ended("f1.short.7_1", end)
    assert expire_leases() == 0, "its report may come yet"
    assert Attempt.objects.get().lease_until <= later(now(), BATCH_GRACE_S)
    Attempt.objects.update(lease_until=earlier(now(), 1))
    assert expire_leases() == 1
    attempt = Attempt.objects.get()
    assert (attempt.state, attempt.cause, attempt.code) == ("lost", cause, code)
    assert attempt.diag.startswith(code)
    said = f"the batch system says of its batch job f1.short.7_1: {end}"
    assert AuditEntry.objects.filter(subject="attempt", who="factory:f1", why=said).exists()
    job = Job.objects.get()
    assert (job.state, job.charged, job.cause) == ("ready", int(cause == "memory"), cause or "lost")


@pytest.mark.parametrize("give", [given_to_agent, given_to_pilot])
@pytest.mark.parametrize("name", ["f1.short.7_10", "f1.short2.7_1", "f2.short.7_1"])
def test_the_end_of_another_batch_job_changes_nothing(give: Callable[[str], None], name: str) -> None:
    give("f1.short.7_1")
    ended(name, "preempted")
    assert Attempt.objects.get().batch_end == ""
    assert Attempt.objects.get().lease_until > later(now(), 2 * HEARTBEAT_S)


def test_a_factory_says_nothing_of_the_batch_jobs_of_another_one_or_at_another_site() -> None:
    given_to_agent("f2.short.7_1")
    ended("f2.short.7_1", "preempted")
    assert Attempt.objects.get().batch_end == ""
    other = Site.objects.exclude(name=SITE).get(name="STAMPEDE_COMPASS_MCORE")
    said = label(site=other.name, ended=(EndedBatchJob("f2.short.7_1", "preempted"),))
    transact(lambda: accept_report(FactoryReport("f2", 1.0, (said,)), {other.name: other}))
    assert Attempt.objects.get().batch_end == ""


def test_a_batch_job_that_ended_by_itself_may_have_left_its_report_to_the_next_agent() -> None:
    given_to_agent("f1.short.7_1")
    ended("f1.short.7_1", "finished")
    assert Attempt.objects.get().lease_until > later(now(), 2 * HEARTBEAT_S)


def test_outputs_that_are_kept_on_a_node_are_waited_for_after_the_end_of_their_batch_job() -> None:
    given_to_agent("f1.short.7_1")
    Attempt.objects.update(phase=OUTPUTS_KEPT)
    ended("f1.short.7_1", "preempted")
    assert Attempt.objects.get().lease_until > later(now(), 2 * HEARTBEAT_S)


def test_an_agent_that_lives_after_all_has_its_lease_renewed_and_nothing_of_the_word_is_left() -> None:
    submit()
    transact(lambda: register(AgentRegistration("f1.short.7_1", SITE), site(), "node"))
    given = Dispatcher().give(Asker(site(), "wn1", Agent.objects.get()))
    assert given is not None
    ended("f1.short.7_1", "node-failed")
    assert heartbeat(given.attempt, given.token, Heartbeat("payload")).command == "go-on"
    assert Attempt.objects.get().batch_end == ""
    assert Attempt.objects.get().lease_until > later(now(), 2 * HEARTBEAT_S)


@pytest.mark.parametrize(
    ("leased_s_ago", "alive", "ends_soon"),
    [
        (5000.0, ("f1.short.8_1",), True),
        (5000.0, ("f1.short.7_1",), False),
        (5000.0, None, False),
        (5.0, (), False),
    ],
)
def test_a_pilot_whose_batch_job_is_gone_is_waited_for_until_it_would_have_been_heard_of(
    leased_s_ago: float, alive: tuple[str, ...] | None, ends_soon: bool
) -> None:
    given_to_pilot("f1.short.7_1")
    Attempt.objects.update(lease_until=later(now(), 7200.0))
    Attempt.objects.update(leased=earlier(now(), leased_s_ago))
    report(label(queued=0, running=0, agents=alive))
    left_s = (Attempt.objects.get().lease_until - now()).total_seconds()
    assert (left_s <= PILOT_GONE_S) == ends_soon
    assert left_s > 1800.0, "a living pilot is heard of every half hour"


@pytest.mark.parametrize("give", [given_to_agent, given_to_pilot])
def test_a_factory_whose_name_differs_by_case_says_nothing_of_the_batch_jobs(give: Callable[[str], None]) -> None:
    give("F1.short.7_1")
    Agent.objects.update(registered=earlier(now(), 5000.0))
    Attempt.objects.update(leased=earlier(now(), 5000.0))
    until = Attempt.objects.get().lease_until
    report(label(queued=0, running=0, agents=()))
    assert Attempt.objects.get().lease_until == until


def test_an_end_that_is_told_again_is_written_once_and_does_not_put_off_the_loss() -> None:
    given_to_agent("f1.short.7_1")
    ended("f1.short.7_1", "preempted")
    until, lines = Attempt.objects.get().lease_until, AuditEntry.objects.count()
    ended("f1.short.7_1", "preempted")
    assert (Attempt.objects.get().lease_until, AuditEntry.objects.count()) == (until, lines)


# ----------------------------------------------------------------------------------------------------------- over HTTP


def ask(method: str, path: str, token: str, body: object = None) -> Answered:
    return request(Application(), method, path, b"" if body is None else msgspec.json.encode(body), token=token)


def test_a_factory_asks_and_reports_with_the_token_of_its_site_only() -> None:
    remember_all()
    other = Site.objects.exclude(name=SITE).values_list("name", flat=True)[0]
    mine, others = issue("a", "agent", site=SITE), issue("b", "agent", site=other)
    viewer = issue("c", "viewer")
    work = f"/api/v1/factories/work?site={SITE}&factory=f1&label=short"
    said = FactoryReport("f1", 1.0, (label(queued=4, running=2),))
    assert ask("GET", work, mine).json == {"site": SITE, "waiting": 0, "queued_elsewhere": 0, "hold": ""}
    assert ask("POST", "/api/v1/factories", mine, said).status == 200
    assert ask("GET", work, others).status == 403
    assert ask("POST", "/api/v1/factories", others, said).status == 403
    assert ask("GET", work, viewer).status == 403
    assert ask("GET", work.replace(SITE, "NOWHERE"), mine).status == 404
    listed = ask("GET", "/api/v1/factories", viewer).json["factories"]
    assert [(each["name"], each["labels"][0]["queued"]) for each in listed] == [("f1", 4)]
    wrong = json.loads(msgspec.json.encode(said)) | {"labels": [{"label": "short"}]}
    assert ask("POST", "/api/v1/factories", mine, wrong).status == 422


# ------------------------------------------------------------------------------------------------ the rest of the time


def test_an_agent_gets_no_job_that_may_take_longer_than_the_rest_of_its_time() -> None:
    submit()
    limit_s = 172_800.0  # of a mass production in the profile

    def given(left_s: float | None) -> bool:
        return Dispatcher().give(Asker(site(), "wn1", left_s=left_s)) is not None

    assert not given(0.0)
    assert not given(limit_s - 1)
    assert given(limit_s)
    assert Attempt.objects.count() == 1


def test_an_agent_with_little_time_does_not_keep_jobs_from_others() -> None:
    submit()
    dispatcher = Dispatcher()
    assert dispatcher.give(Asker(site(), "wn1", left_s=60.0)) is None
    assert dispatcher.give(Asker(site(), "wn1")) is not None
