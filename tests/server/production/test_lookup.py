"""A name that nobody knows is refused with the nearest one, in every list, filter and decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilotext.api.schemas.audit import AuditQuery
from pilotext.api.schemas.jobs import BulkMove, JobFilter, JobQuery
from pilotext.api.schemas.rules import Reclassify
from pilotext.api.schemas.sites import BreakerHold, SiteLimit
from pilotext.server.database import transact
from pilotext.server.production.manual_decisions.bulk_preview import preview_many
from pilotext.server.production.manual_decisions.sites import hold, limit_site, move_site
from pilotext.server.production.manual_decisions.worklist import move_many, worklist
from pilotext.server.production.models import Agent
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.reclassify import rejudge
from pilotext.server.production.statistics.audit import list_audit_entries
from pilotext.server.production.statistics.errors import list_errors, list_signatures
from pilotext.server.production.statistics.jobs import list_jobs
from pilotext.server.production.statistics.runs import list_products, list_runs
from pilotext.server.production.statistics.sites import list_agents
from pilotext.server.production.statistics.tasks import list_tasks
from pilotext.server.times import EPOCH, now
from tests.server.support import SITE, WHY, fail, leased, site, submit

pytestmark = pytest.mark.usefixtures("database")


def move(**chosen: Any) -> object:
    return transact(lambda: move_many(BulkMove("resend", "x", JobFilter(**chosen)), WHY))


def errors(**only: str) -> object:
    chosen: dict[str, Any] = {"task": None, "site": None, "code": None, **only}
    return list_errors(by=["code"], since=EPOCH, until=now(), **chosen)


def runs(task: str, **only: Any) -> object:
    return list_runs(task, **{"run": None, "state": None, "after": 0, "limit": 10, **only})


def agents(**only: Any) -> object:
    return list_agents(**{"site": None, "state": None, "after": 0, "limit": 10, **only})


UNKNOWN: list[tuple[str, Callable[[], object], str]] = [
    ("jobs of a task", lambda: list_jobs(JobQuery(task="t2")), "there is no task 't2'. Known are: t1."),
    ("jobs of a code", lambda: list_jobs(JobQuery(code="COMPAS-1246")), "Did you mean 'COMPASS-1246'?"),
    ("jobs of a number", lambda: list_jobs(JobQuery(code="581241")), "Did you mean 'COMPASS-1241'?"),
    ("jobs of a merge", lambda: list_jobs(JobQuery(product="mdts")), "Did you mean 'mdst'?"),
    ("jobs of a run", lambda: list_jobs(JobQuery(run=7)), "there is no run 7"),
    ("jobs of a signature", lambda: list_jobs(JobQuery(signature="12")), "there is no signature '12'"),
    ("jobs of an agent", lambda: list_jobs(JobQuery(agent="pilot")), "there is no agent 'pilot'"),
    ("jobs of no site", lambda: list_jobs(JobQuery(site="")), "there is no site ''"),
    ("decision on no site", lambda: move(site=""), "there is no site ''"),
    ("decision on no agent", lambda: move(agent=""), "there is no agent ''"),
    ("jobs of a person", lambda: list_jobs(JobQuery(assigned="igor")), "there is no person 'igor'"),
    ("work of a task", lambda: worklist(JobQuery(task="t2")), "there is no task 't2'. Known are: t1."),
    ("decision on a task", lambda: move(task="t2"), "there is no task 't2'. Known are: t1."),
    ("decision on a code", lambda: move(task="t1", code="COMPASS-9"), "there is no code 'COMPASS-9'"),
    ("preview", lambda: preview_many(BulkMove("resend", "x", JobFilter(code="1241"))), "Did you mean 'COMPASS-1241'?"),
    (
        "rejudging a task",
        lambda: rejudge(Reclassify(JobFilter(task="t2")), "maria"),
        "there is no task 't2'. Known are: t1.",
    ),
    ("rejudging a merge", lambda: rejudge(Reclassify(JobFilter(product="hits")), "maria"), "Did you mean 'hist'?"),
    ("rejudging a job", lambda: rejudge(Reclassify(JobFilter(), only=(999,)), "maria"), "there is no job 999"),
    ("tasks", lambda: list(list_tasks(name="t2")), "there is no task 't2'. Known are: t1."),
    ("runs of a task", lambda: runs("t2"), "there is no task 't2'. Known are: t1."),
    ("a run of a task", lambda: runs("t1", run=7), "there is no run '7'. Known are: 1."),
    ("products of a task", lambda: list_products(task="t2"), "there is no task 't2'. Known are: t1."),
    ("products of a run", lambda: list_products(task="t1", run=7), "there is no run '7'"),
    ("products of a merge", lambda: list_products(merge="mdts"), "Did you mean 'mdst'?"),
    ("errors of a task", lambda: errors(task="t2"), "there is no task 't2'. Known are: t1."),
    ("errors of a site", lambda: errors(site=SITE.lower()), "there is no site"),
    ("errors of a code", lambda: errors(code="COMPASS-9999"), "there is no code"),
    ("signatures", lambda: list_signatures(experiment="COMPAS", limit=1), "Did you mean 'COMPASS'?"),
    ("agents of a site", lambda: agents(site=SITE[:-1]), f"Did you mean '{SITE}'?"),
    ("an agent", lambda: agents(name="node8"), "Did you mean 'node7'?"),
    (
        "the trail of a task",
        lambda: list_audit_entries(AuditQuery(task=99, who=None, before=None, limit=1)),
        "there is no task 99",
    ),
    ("closing a site", lambda: transact(lambda: move_site(SITE[:-1], "close", WHY)), "Did you mean"),
    ("limiting a site", lambda: transact(lambda: limit_site(SiteLimit(SITE[:-1], "x", 1), WHY)), "Did you mean"),
    (
        "holding",
        lambda: transact(lambda: hold(BreakerHold("broken sit", "x"), WHY)),
        "Did you mean 'broken site'?",
    ),
    (
        "holding for",
        lambda: transact(lambda: hold(BreakerHold("x", "x", "COMPAS"), WHY)),
        "Did you mean 'COMPASS'?",
    ),
]


@pytest.mark.parametrize(("ask", "said"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_an_unknown_name_is_an_error_and_no_empty_answer(ask: Callable[[], object], said: str) -> None:
    submit()
    Agent.objects.create(name="node7", site=site())
    with pytest.raises(RefusalError) as refused:
        ask()
    assert said in str(refused.value)


def test_a_known_name_that_nothing_fits_is_an_empty_answer() -> None:
    submit()
    fail(leased(), "input-corrupt", "manual-check")
    known = JobQuery(task="t1", state="failed", code="COMPASS-1246", product="mdst", run=1)
    assert list_jobs(known).jobs == ()
    assert worklist(JobQuery(code="COMPASS-1246")).items == ()
    assert errors(code="COMPASS-1246", task="t1", site=SITE).errors == ()  # type: ignore[attr-defined]
    assert move(task="t1", code="COMPASS-1246").moved == ()  # type: ignore[attr-defined]
    assert list_jobs(JobQuery(after=10**6, code="nobody looks")).jobs == (), "the first page has told of it"
