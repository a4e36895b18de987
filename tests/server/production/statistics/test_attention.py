"""Concerns: each kind is named, with the number that its list has, and nothing without a reason."""

from __future__ import annotations

from typing import Any

import pytest

from pilotext.server.boot import boot

boot()

from pilotext.server.production.cycle.status import record_step  # noqa: E402  needs boot
from pilotext.server.production.models import (  # noqa: E402
    Agent,
    Attempt,
    CycleStep,
    Factory,
    Job,
    LogArchive,
    Product,
    Task,
)
from pilotext.server.production.statistics.attempts import AttemptQuery, list_attempts  # noqa: E402
from pilotext.server.production.statistics.attention import Concern, concerns  # noqa: E402
from pilotext.server.production.statistics.sites import agents_of  # noqa: E402
from pilotext.server.times import HOUR_S, earlier, now  # noqa: E402
from tests.server.support import SITE, fail, leased, raw, site, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _alive(database: str) -> None:
    """A production in which a cycle runs."""
    record_step("leases")
    submit([raw(1, chunk) for chunk in range(1, 5)])


def agent(name: str, silent_s: float = 0.0, **fields: Any) -> Agent:
    return Agent.objects.create(name=name, site=site(), seen=earlier(now(), silent_s), **fields)


def hold(silent_s: float, **fields: Any) -> None:
    """Give a job out, whose attempt was heard of last so long ago."""
    given = leased()
    Attempt.objects.filter(pk=given.attempt).update(seen=earlier(now(), silent_s), **fields)


def found() -> list[tuple[str, int, str, int]]:
    return [(each.subject, each.number, each.name, each.attempts) for each in concerns()]


def test_where_everything_is_heard_of_nothing_needs_attention() -> None:
    hold(10.0, agent=agent("a1"))
    Factory.objects.create(name="f1")
    assert concerns() == []


def test_a_cycle_that_is_silent_or_never_ran_comes_first() -> None:
    last = earlier(now(), HOUR_S)
    CycleStep.objects.update(at=last)
    assert concerns() == [Concern("cycle", 1, last)]
    CycleStep.objects.all().delete()
    assert concerns() == [Concern("cycle", 1, None)]


def test_a_step_that_fails_is_named() -> None:
    since = earlier(now(), HOUR_S)
    CycleStep.objects.create(name="merge", error="it broke", failing_since=since)
    assert concerns() == [Concern("step", 1, since, "merge")]


def test_a_silent_factory_is_named_until_it_was_given_up() -> None:
    for name, silent_s in (("f1", 60.0), ("f2", HOUR_S), ("f3", 30 * 24 * HOUR_S)):
        Factory.objects.create(name=name, seen=earlier(now(), silent_s))
    assert found() == [("factory", 1, "f2", 0)]


def test_silent_agents_are_counted_by_site_with_the_attempts_that_they_hold() -> None:
    one, other = agent("a1", HOUR_S), agent("a2", HOUR_S)
    for holder in (one, one, other):
        hold(HOUR_S, agent=holder)
    agent("a3", HOUR_S)  # it holds nothing
    assert found() == [("agent", 2, SITE, 3)]


def test_an_agent_that_another_of_its_attempts_speaks_for_is_not_silent() -> None:
    """One whose slots are full does not ask for jobs."""
    full = agent("a1", HOUR_S)
    hold(HOUR_S, agent=full)
    hold(10.0, agent=full)
    assert found() == [("attempt", 1, SITE, 0)]


def test_an_agent_that_has_gone_and_holds_an_attempt_is_dead() -> None:
    hold(HOUR_S, agent=agent("a1", state="gone"))
    assert found() == [("agent", 1, SITE, 1)]


@pytest.mark.parametrize(("silent_s", "number"), [(2000.0, 0), (6000.0, 1)])
def test_a_pilot_that_is_heard_of_every_half_hour_is_silent_later(silent_s: float, number: int) -> None:
    hold(silent_s, pilot="panda-cern")
    assert found() == [("attempt", 1, SITE, 0)] * number


def test_silent_attempts_are_listed() -> None:
    hold(HOUR_S)
    hold(10.0)
    rows, _ = list_attempts(AttemptQuery(by="silent", site=SITE))
    assert [row.attempt for row in rows] == list(Attempt.objects.order_by("pk").values_list("pk", flat=True)[:1])
    assert list_attempts(AttemptQuery(by="silent", site="BW_COMPASS_MCORE"))[0] == []


def test_the_list_of_silent_attempts_has_as_many_as_their_concern_counts() -> None:
    """Those of silent agents are counted with these agents."""
    hold(HOUR_S)
    hold(HOUR_S, agent=agent("a1"))
    hold(HOUR_S, agent=agent("a2", HOUR_S))
    assert found() == [("agent", 1, SITE, 1), ("attempt", 2, SITE, 0)]
    rows, _ = list_attempts(AttemptQuery(by="silent", site=SITE))
    assert len(rows) == 2


def test_the_list_of_agents_of_a_site_has_those_that_have_gone_and_hold_attempts() -> None:
    dead = agent("a1", state="gone")
    hold(HOUR_S, agent=dead)
    ended = agent("a2", state="gone")
    hold(HOUR_S, agent=ended)
    Attempt.objects.filter(agent=ended).update(state="lost")
    listed = agents_of(site(), after=0, limit=10)
    assert [row.name for row in listed.agents] == ["a1"]
    assert found() == [("agent", len(listed.agents), SITE, 1)]


def test_what_waits_for_a_person_is_counted_since_the_oldest() -> None:
    fail(leased(), "calibration", "manual-check")
    fail(leased(), "calibration", "manual-check")
    oldest = earlier(now(), HOUR_S)
    Job.objects.filter(pk=Job.objects.filter(state="manual").order_by("pk")[0].pk).update(changed=oldest)
    task = Task.objects.get()
    Product.objects.create(task=task, run=1, merge="mdst", state="manual", changed=oldest)
    Product.objects.create(task=task, run=2, merge="mdst", state="merging")
    LogArchive.objects.create(task=task, run=1, name="logs", state="manual", changed=oldest)
    assert concerns() == [Concern(kind, 2 if kind == "job" else 1, oldest) for kind in ("job", "product", "archive")]
