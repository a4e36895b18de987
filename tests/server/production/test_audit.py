"""Whatever changes the state of something, or what somebody may do, stands in the audit trail: who, when, what, why."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from django.apps import apps
from msgspec.structs import replace

import pilotext.server
from pilotext.api.schemas.agents import AgentRegistration
from pilotext.api.schemas.attempts import Heartbeat
from pilotext.server.database import transact
from pilotext.server.production.access.people import set_user
from pilotext.server.production.access.tokens import issue, revoke
from pilotext.server.production.dispatch.agents import forget_agents, register
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher
from pilotext.server.production.dispatch.leases import expire_leases, heartbeat
from pilotext.server.production.dispatch.tickets import hand_over
from pilotext.server.production.manual_decisions.jobs import assign, move_job, note
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.manual_decisions.sites import move_site
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Agent, Attempt, AuditEntry, Experiment, Job, Product, Task, Token
from pilotext.server.production.profiles import profile_of, remember, remember_all
from pilotext.server.production.transitions import Reason
from pilotext.server.times import EPOCH
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import chunks, cycle, do_all, product, storage, submit_runs
from tests.server.support import SITE, WHY, fail, leased, raw, site, submit
from tests.server.trail import TOLD_OF, gaps

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")

SERVER = Path(pilotext.server.__file__).parent


def last(subject: str) -> AuditEntry:
    return AuditEntry.objects.filter(subject=subject).latest("pk")


def told(subject: str) -> tuple[str, str, str, str]:
    line = last(subject)
    return line.who, line.before, line.after, line.why


def test_the_trail_of_a_whole_production_is_a_chain_that_ends_where_everything_is(storage: MemoryStorage) -> None:
    remember_all()
    me = transact(lambda: register(AgentRegistration("a1", SITE), site(), "agents"))
    submit_runs({1: 3, 2: 2, 3: 1}, merges=("mdst", "hist"))
    fail(leased(), "crash", "retry")
    lost = leased()
    heartbeat(lost.attempt, lost.token, Heartbeat("payload"))
    Attempt.objects.filter(pk=lost.attempt).update(lease_until=EPOCH)
    expire_leases()
    fail(leased(), "input-corrupt", "manual-check")
    Job.objects.update(not_before=EPOCH)
    do_all(storage)
    bad = Job.objects.get(state="manual")
    transact(lambda: move_product(Product.objects.get(run=bad.run or 0, merge="mdst").pk, "merge-without", WHY))
    for _ in range(4):
        cycle(2)
        do_all(storage)
    assert gaps() == []
    transact(lambda: move_job(chunks(run=2)[0].pk, "resend", WHY))
    for _ in range(4):
        cycle(2)
        do_all(storage)
    assert Task.objects.get().state == "done"
    transact(lambda: move_task(Task.objects.get().pk, "archive", WHY))
    Agent.objects.filter(pk=me).update(seen=EPOCH)
    cycle(4)
    assert (Task.objects.get().state, Agent.objects.get().state) == ("archived", "gone") or forget_agents()
    assert gaps() == []


def test_a_state_that_was_changed_without_a_line_is_seen() -> None:
    submit([raw(1, 1), raw(1, 2)])
    given = leased()
    assert gaps() == []
    Job.objects.filter(pk=given.job.job).update(state="manual")
    Task.objects.update(state="paused")
    Attempt.objects.update(state="running")
    assert len(gaps()) == 3


def test_every_table_with_states_is_looked_at() -> None:
    found = {model for model in apps.get_app_config("production").get_models() if hasattr(model, "state")}
    assert {model.__name__ for model in found - TOLD_OF.keys()} == {"Output", "HourlyAttempts"}, (
        "states of files are told with their job's, and those of statistics are counted"
    )


def test_states_are_changed_in_one_place_only() -> None:
    """An `update` or `save` of a state elsewhere would be one without a line."""
    found = Counter(
        str(path.relative_to(SERVER / "production"))
        for path in SERVER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if _sets_state(node)
    )
    files = {
        "reports/success.py": 1,
        "manual_decisions/jobs.py": 1,
        "models/attempt.py": 1,
        "cycle/cleaning.py": 1,
        "submission/succession.py": 1,
        "published_names.py": 1,
    }
    assert found == {"transitions.py": 1, "dispatch/leases.py": 1, **files}, (
        "of a heartbeat, and those of files, which go with their job or product, or with names that pass to a task"
    )


def _sets_state(node: ast.AST) -> bool:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("update", "bulk_update")
    ):
        return any(keyword.arg == "state" for keyword in node.keywords)
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return target.slice.value == "state"
    return False


def test_an_attempt_that_is_heard_of_after_its_job_was_cancelled_is_told() -> None:
    submit()
    given = leased()
    transact(lambda: move_job(given.job.job, "cancel", WHY))
    heartbeat(given.attempt, given.token, Heartbeat("payload"))
    assert told("attempt") == ("dispatch", "leased", "running", "it sent a heartbeat while its job is cancelled")
    assert gaps() == []


def test_an_attempt_that_is_given_again_with_another_token_is_told() -> None:
    submit()
    asker = Asker(site(), "wn1", key="k")
    given = Dispatcher().give(asker)
    again = Dispatcher().give_again(asker)
    assert given is not None
    assert again is not None
    assert (again.attempt, again.token == given.token) == (given.attempt, False)
    assert told("attempt")[:3] == ("dispatch", "leased", "leased")
    assert "another token" in last("attempt").why


def test_an_agent_that_comes_and_one_that_changes_are_told() -> None:
    remember_all()
    hello = AgentRegistration("a1", SITE, host="wn1", slots=4, version="1")
    transact(lambda: register(hello, site(), "cern-agents"))
    assert told("agent") == (
        "agent:a1",
        "",
        "active",
        f"by token cern-agents: site {SITE}, host wn1, slots 4, version 1",
    )
    lines = AuditEntry.objects.count()
    transact(lambda: register(hello, site(), "cern-agents"))
    assert AuditEntry.objects.count() == lines, "the same again is no change"
    transact(lambda: register(replace(hello, slots=8, state="draining"), site(), "others"))
    assert [(line.after, line.why) for line in AuditEntry.objects.order_by("pk")[lines:]] == [
        ("active", "by token others: slots 8"),
        ("draining", "reported by the agent"),
    ]


def test_a_pilot_that_is_given_an_attempt_is_told() -> None:
    submit()
    hand_over(leased(), "cern-pilots")
    who, _, after, why = told("attempt")
    assert (who, after) == ("pilot:cern-pilots", "leased")
    assert "ticket" in why


def test_merging_without_a_chunk_is_told_with_its_jobs_also_before_the_run_is_held(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    fail(leased(), "input-corrupt", "fail")
    do_all(storage)
    bad = Job.objects.get(state="failed")
    assert product().state == "waiting"
    transact(lambda: move_product(product().pk, "merge-without", WHY))
    assert told("product") == ("maria", "waiting", "waiting", f"without job {bad.pk}: {WHY.why}")
    transact(lambda: move_job(bad.pk, "resend", Reason("igor", "copied anew", "person")))
    assert told("product") == ("igor", "waiting", "waiting", "with all jobs again: copied anew")


def test_a_profile_and_its_sites_are_told_when_they_are_others_than_before() -> None:
    given = profile_of("COMPASS")
    transact(lambda: remember(given))
    mine = AuditEntry.objects.filter(subject="profile", subject_id=Experiment.objects.get(name="COMPASS").pk)
    assert [line.why for line in mine] == ["COMPASS for the first time"]
    whys = AuditEntry.objects.filter(subject="site", who="profile", before="", after="open").values_list(
        "why", flat=True
    )
    assert {why.partition(":")[0] for why in whys} > given.sites.keys()
    lines = AuditEntry.objects.count()
    transact(lambda: remember(given))
    assert AuditEntry.objects.count() == lines, "the same again is no change"
    sites = {**given.sites, SITE: replace(given.sites[SITE], max_active=7)}
    transact(lambda: remember(replace(given, sites=sites, retry=replace(given.retry, attempts=9))))
    changed = last("profile")
    assert changed.subject_id == Experiment.objects.get(name="COMPASS").pk
    assert {*changed.why.removeprefix("COMPASS: ").split(", ")} == {"sites", "retry"}
    assert changed.before != changed.after
    assert told("site") == ("profile", "open", "open", f"{SITE}: attempts at once: at most 7")


def test_a_site_that_is_closed_and_opened_is_told() -> None:
    remember_all()
    transact(lambda: move_site(SITE, "close", WHY))
    assert told("site") == ("maria", "open", "closed", WHY.why)
    transact(lambda: move_site(SITE, "open", Reason("igor", "mended", "person")))
    assert told("site") == ("igor", "closed", "open", "mended")


def test_tokens_and_users_are_told_from_their_making_to_their_end() -> None:
    remember_all()
    issue("night", "expert", by=Reason("maria", "for the shift", "person"))
    assert told("token") == ("maria", "", "expert", "night: for the shift")
    revoke(Token.objects.all(), Reason("igor", "it was in a mail", "person"))
    assert told("token") == ("igor", "expert", "revoked", "night: it was in a mail")
    set_user("anna", "expert", WHY)
    set_user("anna", "viewer", WHY, "a long enough word 77")
    assert told("user") == ("maria", "expert", "viewer", f"anna, with a new password: {WHY.why}")
    set_user("anna", None, WHY)
    assert told("user")[1:3] == ("viewer", "none")


def test_what_is_said_on_a_job_is_told() -> None:
    submit()
    fail(leased(), "input-corrupt", "manual-check")
    job = Job.objects.get().pk
    transact(lambda: assign(job, "igor", WHY))
    assert told("assigned") == ("maria", "", "igor", WHY.why)
    transact(lambda: note(job, Reason("igor", "asked the shift crew", "person")))
    assert told("note") == ("igor", "manual", "manual", "asked the shift crew")
