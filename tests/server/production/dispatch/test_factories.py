"""Factories on the server: what waits for a site, reports, and the list."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from pilotext.api.schemas.agents import AgentRegistration
from pilotext.api.schemas.attempts import Heartbeat
from pilotext.api.schemas.factories import FactoryReport, LabelReport
from pilotext.server.boot import boot

boot()

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402  needs boot

from pilotext.server.database import transact  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.dispatch.agents import register  # noqa: E402
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher  # noqa: E402
from pilotext.server.production.dispatch.factories import accept_report, site_work  # noqa: E402
from pilotext.server.production.dispatch.leases import HEARTBEAT_S, heartbeat  # noqa: E402
from pilotext.server.production.models import Agent, Attempt, Breaker, Experiment, Factory, Job, Site  # noqa: E402
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
