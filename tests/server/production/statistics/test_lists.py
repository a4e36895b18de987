from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from pilotext.api.schemas.audit import AuditQuery
from pilotext.api.schemas.errors import ErrorList
from pilotext.api.schemas.jobs import JobQuery
from pilotext.server.database import transact
from pilotext.server.production.dispatch.leases import expire_leases
from pilotext.server.production.manual_decisions.sites import move_breaker, move_site
from pilotext.server.production.models import Agent, Attempt, Breaker, Experiment, Job, Product, Site, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.audit import list_audit_entries
from pilotext.server.production.statistics.errors import list_errors
from pilotext.server.production.statistics.job_choice import choose_jobs
from pilotext.server.production.statistics.runs import list_runs
from pilotext.server.production.statistics.sites import describe_site, list_agents, list_sites
from pilotext.server.production.transitions import Reason
from pilotext.server.times import EPOCH, earlier, later, now
from tests.server.support import SITE, fail, lease, leased, raw, submit, succeed

pytestmark = pytest.mark.usefixtures("database")

WHY = Reason("maria", "to see", "person")


def errors(*by: str, **only: str) -> ErrorList:
    chosen: dict[str, Any] = {"task": None, "site": None, "code": None, **only}
    return list_errors(by=by, since=EPOCH, until=later(now(), 1), **chosen)


def test_errors_are_counted_by_what_is_asked_for() -> None:
    submit([raw(1, chunk) for chunk in range(4)])
    fail(leased(), "crash")
    fail(leased(), "crash")
    fail(leased(), "conditions-db")
    succeed(leased())
    rows = [(row.cause, row.site, row.attempts, row.jobs) for row in errors("cause").errors]
    assert rows == [("crash", "", 2, 2), ("conditions-db", "", 1, 1)]
    assert [row.site for row in errors("site").errors] == [SITE]
    assert [(row.task, row.attempts) for row in errors("task").errors] == [("t1", 3)]
    assert sum(row.attempts for row in errors("day").errors) == 3


def test_a_lost_attempt_is_an_error_too() -> None:
    submit()
    leased()
    Attempt.objects.update(lease_until=EPOCH)
    expire_leases()
    assert [row.cause for row in errors("code", "cause").errors] == ["lost"]


def test_errors_of_other_tasks_sites_or_times_are_not_counted() -> None:
    submit()
    fail(leased())
    submit(name="another")
    assert errors("code", task="another").errors == ()
    assert errors("code", site="FRONTERA_COMPASS_TEST").errors == ()
    assert errors("code", code="COMPASS-1246").errors == ()
    Attempt.objects.update(ended=EPOCH)
    assert list_errors(by=["code"], since=later(EPOCH, 2), until=now(), task=None, site=None, code=None).errors == ()


def test_runs_show_their_jobs_and_products_in_pages() -> None:
    submit([raw(run, chunk) for run in (5, 3, 4) for chunk in (1, 2)], merges=["mdst"])
    succeed(leased())
    page = list_runs("t1", run=None, state=None, after=0, limit=2)
    assert [row.run for row in page.runs] == [3, 4]
    assert page.next == 4
    assert page.runs[0].products == {"mdst": "waiting"}
    last = list_runs("t1", run=None, state=None, after=4, limit=2)
    assert [(row.run, row.jobs) for row in last.runs] == [(5, {"finished": 1, "ready": 1})]
    assert last.next is None


def test_runs_can_be_chosen_by_the_state_of_a_product() -> None:
    submit([raw(run, 1) for run in (3, 4)], merges=["mdst"])
    Product.objects.filter(run=4).update(state="manual", finding="100 events of 120")
    (row,) = list_runs("t1", run=None, state="manual", after=0, limit=10).runs
    assert (row.run, row.findings) == (4, {"mdst": "100 events of 120"})
    assert list_runs("t1", run=3, state="manual", after=0, limit=10).runs == ()


def test_sites_show_what_runs_there_and_what_keeps_jobs_away() -> None:
    submit([raw(1, chunk) for chunk in range(3)])
    fail(leased())
    leased()
    compass = Experiment.objects.get(name="COMPASS")
    Breaker.objects.create(
        experiment=compass, rule="broken site", scope=SITE, site=Site.objects.get(name=SITE), state="open"
    )
    Breaker.objects.create(experiment=compass, rule="conditions database", scope="", state="open")
    found = list_sites()
    row = next(row for row in found.sites if row.site == SITE)
    assert (row.active, row.failed, row.finished, row.closed) == (1, 1, 0, "")
    assert [breaker.rule for breaker in row.breakers] == ["broken site"]
    assert [breaker.rule for breaker in found.breakers] == ["conditions database"]


def test_the_row_of_a_site_counts_its_own_attempts_and_reads_those_of_an_hour_alone() -> None:
    submit([raw(1, chunk) for chunk in range(3)])
    for _ in range(2):
        fail(leased())
    other = Site.objects.get(name="FRONTERA_COMPASS_TEST")
    with CaptureQueriesContext(connection) as done:
        assert describe_site(Site.objects.get(name=SITE).pk)[1].failed == 2
    (ended,) = [each["sql"] for each in done.captured_queries if '"ended" >=' in each["sql"]]
    assert "GROUP BY" not in ended, "with a million jobs, SQLite took a second for it"
    assert describe_site(other.pk)[1].failed == 0
    Attempt.objects.update(ended=earlier(now(), 2 * 3600.0))
    assert describe_site(Site.objects.get(name=SITE).pk)[1].failed == 0


def test_opening_a_site_closes_its_breakers_and_no_others() -> None:
    submit()
    compass = Experiment.objects.get(name="COMPASS")
    for name, scope in ((SITE, SITE), ("FRONTERA_COMPASS_TEST", "other")):
        where = Site.objects.get(name=name)
        Breaker.objects.create(
            experiment=compass, rule="broken site", scope=scope, site=where, state="open", due=later(now(), 99)
        )
    assert lease() is None
    assert transact(lambda: move_site(SITE, "open", WHY))
    assert lease() is not None
    assert Breaker.objects.get(state="open").scope == "other"


def test_a_breaker_that_somebody_opened_stays_open_until_somebody_closes_it() -> None:
    submit()
    compass = Experiment.objects.get(name="COMPASS")
    breaker = Breaker.objects.create(experiment=compass, rule="conditions database", scope="").pk
    assert transact(lambda: move_breaker(breaker, "open", WHY)) == [breaker]
    assert lease() is None
    assert transact(lambda: move_breaker(breaker, "close", WHY)) == [breaker]
    assert lease() is not None
    with pytest.raises(RefusalError, match="there is no breaker 99"):
        transact(lambda: move_breaker(99, "close", WHY))


def test_agents_show_how_busy_they_are() -> None:
    submit()
    for number in range(3):
        Agent.objects.create(name=f"a{number}", site=Site.objects.get(name=SITE), slots=2)
    leased()
    Attempt.objects.update(agent=Agent.objects.get(name="a1"))
    page = list_agents(site=None, state=None, after=0, limit=2)
    assert [(row.name, row.active, row.slots) for row in page.agents] == [("a0", 0, 2), ("a1", 1, 2)]
    assert [row.name for row in list_agents(site=SITE, state="active", after=page.next or 0, limit=2).agents] == ["a2"]
    assert list_agents(site=None, state="gone", after=0, limit=2).agents == ()


def test_the_audit_trail_comes_in_pages_the_newest_first() -> None:
    submit()
    fail(leased())
    seen = []
    before: int | None = None
    while True:
        page = list_audit_entries(AuditQuery(task=None, who=None, before=before, limit=2))
        seen += [event.after for event in page.events]
        if (before := page.next) is None:
            break
    assert seen[:6] == ["ready", "failed", "sent", "running", "ready", "draft"]
    assert {*seen[6:]} > {"open"}, "before them, the profile told of its sites"
    with pytest.raises(RefusalError, match="there is no task 99"):
        list_audit_entries(AuditQuery(task=99, who=None, before=None, limit=2))


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        (JobQuery(state="failed"), "job_by_state"),
        (JobQuery(task="t1", state="failed"), "job_page_task_state"),
        (JobQuery(run=1), "job_page_run"),
        (JobQuery(code="COMPASS-1241"), "job_by_code"),
        (JobQuery(cause="storage"), "job_page_cause"),
        (JobQuery(assigned="igor"), "job_page_assigned"),
        (JobQuery(state="finished", product="mdst"), "job_page_product"),
    ],
)
def test_a_page_of_jobs_is_read_by_its_index_without_sorting(chosen: JobQuery, index: str) -> None:
    submit()
    plan = choose_jobs(chosen).filter(pk__gt=0).order_by("pk")[:10].explain()
    if connection.vendor == "sqlite":  # PostgreSQL reads so small a table as a whole
        assert index in plan, plan
        assert "TEMP B-TREE" not in plan


def test_the_last_job_of_a_task_is_found_by_an_index_of_its_jobs() -> None:
    submit()
    rows = Job.objects.filter(task=Task.objects.get()).order_by("-pk").values("pk")[:1]
    if connection.vendor == "postgresql":  # which else reads so small a table as a whole
        with transaction.atomic(), connection.cursor() as cursor:
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
            assert "job_page_task on" in rows.explain()
    else:
        assert "TEMP B-TREE" not in rows.explain()


def test_counting_errors_reads_one_index_and_no_row() -> None:
    submit()
    fail(leased())
    with CaptureQueriesContext(connection) as queries:
        errors("code", "cause", "site")
    (counting,) = [query["sql"] for query in queries.captured_queries if "COUNT" in query["sql"]]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {counting}")
            plan = str(cursor.fetchall())
        assert "USING COVERING INDEX attempt_failed" in plan, plan
