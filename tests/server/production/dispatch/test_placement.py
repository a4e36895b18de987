"""Jobs that failed somewhere go elsewhere, while there is an elsewhere; and they hide no others."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pilotext.server.production.dispatch.brokerage import candidates
from pilotext.server.production.dispatch.dispatcher import AHEAD, Asker, Dispatcher, Lease
from pilotext.server.production.dispatch.placement import avoided_by, not_avoiding
from pilotext.server.production.models import Agent, Attempt, Job
from pilotext.server.times import EPOCH, earlier, later, now
from tests.server.support import SITE, avoid, fail, lease, leased, raw, site, submit, the_job

pytestmark = pytest.mark.usefixtures("database")

OTHER = "FRONTERA_COMPASS_TEST"
MANY = 300
assert MANY > AHEAD, "more than what is looked at ahead"


def agent_on(node: str, where: str = SITE, **fields: Any) -> Agent:
    return Agent.objects.create(name=f"agent on {node}", site=site(where), host=node, **fields)


def broken_here(given: Lease) -> None:
    """A failure that asks for another node, whose job could go on at once; the worker has its own name for the node."""
    fail(given, "software-setup", "retry-elsewhere", host="localhost.localdomain")
    Job.objects.update(not_before=EPOCH)


def at_site(name: str, node: str = "wn9") -> Lease | None:
    return Dispatcher().give(Asker(site(name), node))


# ---------------------------------------------------------------------------------------------------------- which place


def test_elsewhere_is_not_the_same_node_while_another_is_there() -> None:
    submit()
    agent_on("wn1")
    agent_on("wn2")
    broken_here(leased("wn1"))
    assert lease("wn1") is None
    assert leased("wn2").job.attempt == 2


def test_the_only_node_there_is_has_the_job_again() -> None:
    submit()
    agent_on("wn1")
    broken_here(leased("wn1"))
    assert leased("wn1").job.attempt == 2


@pytest.mark.parametrize("fields", [{"state": "gone"}, {"state": "draining"}, {"seen": EPOCH}])
def test_no_job_waits_for_a_node_that_takes_none_any_more(fields: dict[str, Any]) -> None:
    submit()
    agent_on("wn2", **fields)
    broken_here(leased("wn1"))
    assert leased("wn1").job.attempt == 2


def test_a_node_where_a_pilot_works_or_has_just_worked_is_there() -> None:
    submit([raw(1, 1), raw(1, 2)])
    first, second = leased("wn1"), leased("wn2")
    broken_here(first)
    assert lease("wn1") is None, "wn2 is at work"
    fail(second, "crash", "manual-check")
    assert lease("wn1") is None, "wn2 was at work"
    Attempt.objects.filter(node="wn2").update(ended=EPOCH)
    assert leased("wn1").job.attempt == 2


def test_a_job_that_failed_on_every_node_does_not_wait_for_them_all() -> None:
    submit()
    agent_on("wn1")
    agent_on("wn2")
    broken_here(leased("wn1"))
    broken_here(leased("wn2"))
    assert set(avoided_by([the_job().pk])[the_job().pk]) == {"wn1", "wn2"}
    assert leased("wn1").job.attempt == 3


def test_a_node_is_avoided_for_its_time_only() -> None:
    submit()
    agent_on("wn2")
    broken_here(leased("wn1"))
    avoid({"wn1": earlier(now(), 1)})
    assert leased("wn1").job.attempt == 2


def test_after_two_failures_at_a_site_the_job_goes_to_another_site() -> None:
    submit()
    for node in ("wn1", "wn2", "wn3"):
        agent_on(node)
    agent_on("far1", OTHER)
    broken_here(leased("wn1"))
    broken_here(leased("wn2"))
    assert f"site:{SITE}" in avoided_by([the_job().pk])[the_job().pk]
    assert lease("wn3") is None
    assert at_site(OTHER, "far1") is not None


def test_a_job_that_avoids_a_site_comes_back_when_the_other_site_has_gone() -> None:
    submit()
    for node in ("wn1", "wn3"):
        agent_on(node)
    far = agent_on("far1", OTHER)
    avoid({"wn1": later(now(), 1000), f"site:{SITE}": later(now(), 1000)})
    assert lease("wn3") is None
    far.state = "gone"
    far.save()
    assert lease("wn1") is None, "another node of the site is the next best"
    assert leased("wn3").job.attempt == 1


def test_who_cannot_have_the_job_is_not_waited_for() -> None:
    submit(sites=[SITE])
    agent_on("far1", OTHER)
    broken_here(leased("wn1"))
    assert leased("wn1").job.attempt == 2


# ----------------------------------------------------------------------------------------------- what is behind others


def many_that_avoid(place: str) -> Job:
    """MANY jobs that avoid a place, and behind them one that does not."""
    submit([raw(1, chunk) for chunk in range(MANY + 1)])
    last = Job.objects.order_by("-pk")[0]
    avoid({place: later(now(), 10_000)}, Job.objects.exclude(pk=last.pk))
    return last


def test_a_job_behind_hundreds_that_avoid_the_site_is_given_out() -> None:
    last = many_that_avoid(f"site:{SITE}")
    agent_on("far1", OTHER)
    assert leased("wn1").job.job == last.pk
    assert lease("wn1") is None


def test_a_job_behind_hundreds_that_avoid_the_node_is_given_out() -> None:
    last = many_that_avoid("wn1")
    agent_on("wn2")
    dispatcher = Dispatcher()
    assert leased("wn1", dispatcher=dispatcher).job.job == last.pk
    assert lease("wn1", dispatcher=dispatcher) is None
    assert lease("wn2", dispatcher=dispatcher) is not None


def test_hundreds_that_avoid_the_only_node_are_all_done_there() -> None:
    many_that_avoid("wn1")
    Job.objects.filter(chunk__lt=MANY - 20).update(state="finished")
    dispatcher = Dispatcher()
    given = 0
    while lease("wn1", dispatcher=dispatcher) is not None:
        given += 1
    assert given == 21


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "12", "a__b", "Zürich", "%s", "$.x"])
def test_any_name_of_a_node_can_be_avoided(name: str) -> None:
    submit([raw(1, 1), raw(1, 2)])
    first = Job.objects.order_by("pk")[0]
    avoid({name: later(now(), 1000), "other": EPOCH}, Job.objects.filter(pk=first.pk))
    agent_on("somebody else")
    assert leased(name).job.job != first.pk
    assert lease(name) is None
    assert leased("wn2").job.job == first.pk


def test_what_is_avoided_is_looked_into_only_behind_many_that_avoid() -> None:
    """Asking the database what each job avoids is for the rare case; the usual one reads the first few by index."""
    submit([raw(1, chunk) for chunk in range(3)])
    with CaptureQueriesContext(connection) as queries:
        assert len(candidates(site(), now(), limit=AHEAD)) == 3
    asked = [query["sql"] for query in queries.captured_queries]
    assert not any(" EXISTS" in sql and "avoidedplace" in sql for sql in asked), asked
    last = many_that_avoid_in_another_task()
    with CaptureQueriesContext(connection) as queries:
        assert last.pk in [found.job for found in candidates(site(), now(), limit=AHEAD)]
    assert any(" EXISTS" in query["sql"] and "avoidedplace" in query["sql"] for query in queries.captured_queries)


def many_that_avoid_in_another_task() -> Job:
    submit([raw(2, chunk) for chunk in range(AHEAD + 1)], name="t2")
    last = Job.objects.order_by("-pk")[0]
    avoid({f"site:{SITE}": later(now(), 1000)}, Job.objects.filter(run=2).exclude(pk=last.pk))
    return last


def test_jobs_behind_many_are_read_by_the_index_in_its_order() -> None:
    submit()
    ready = Job.objects.filter(task=1, state="ready", not_before__lte=now()).order_by("-priority", "id")
    plan = not_avoiding(ready, [f"site:{SITE}", "wn1"], now())[:10].explain()
    if connection.vendor == "sqlite":  # PostgreSQL reads so small a table as a whole
        assert "job_ready" in plan, plan
        assert "TEMP B-TREE" not in plan
