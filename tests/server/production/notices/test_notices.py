"""Notices: which changes have one, that the same within an hour is one row, and that texts of others are harmless."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pilotext.server.boot import boot

boot()

from django.test import override_settings  # noqa: E402  needs boot
from django.urls import resolve  # noqa: E402

from pilotext.server.database import transact  # noqa: E402
from pilotext.server.production import rule_files  # noqa: E402
from pilotext.server.production.cycle.runner import STEPS, run_once  # noqa: E402
from pilotext.server.production.dispatch.agents import forget_agents  # noqa: E402
from pilotext.server.production.manual_decisions.sites import move_site  # noqa: E402
from pilotext.server.production.manual_decisions.tasks import move_task  # noqa: E402
from pilotext.server.production.models import (  # noqa: E402
    Agent,
    Attempt,
    Breaker,
    Experiment,
    Factory,
    Notice,
    Product,
    Task,
)
from pilotext.server.production.notices.changes import ANNOUNCED  # noqa: E402
from pilotext.server.production.notices.store import KEPT_S, MAX_TEXT, forget_notices  # noqa: E402
from pilotext.server.production.notices.watch import (  # noqa: E402
    watch_factories,
    watch_failures,
    watch_rule_files,
)
from pilotext.server.production.states import AGENT, ARCHIVE, BREAKER, PRODUCT, TASK  # noqa: E402
from pilotext.server.production.transitions import Reason, advance  # noqa: E402
from pilotext.server.times import earlier, now  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless  # noqa: E402
from tests.server.support import SITE, WHY, fail, leased, raw, site, submit, succeed  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")

CYCLE = Reason("cycle", "it is so", "cycle")


def titles() -> list[tuple[str, int]]:
    return list(Notice.objects.order_by("pk").values_list("title", "count"))


def test_every_change_that_has_a_notice_is_one_that_a_machine_makes() -> None:
    machines = {machine.name: machine for machine in (TASK, PRODUCT, ARCHIVE, BREAKER, AGENT)}
    for subject, after in ANNOUNCED:
        assert subject == "site" or after in machines[subject].states


def test_a_task_that_is_held_and_done_has_notices_with_the_reason_and_a_page() -> None:
    task = submit().task
    for word in ("pause", "resume", "pause", "resume"):
        transact(lambda word=word: move_task(task, word, WHY))  # type: ignore[misc]
    succeed(leased())
    run_once(tuple(step for step in STEPS if step.name == "done"))
    assert titles() == [("Task t1 is held", 2), ("Task t1 is done", 1)]
    held = Notice.objects.earliest("pk")
    assert (held.kind, held.task_id, held.summary()) == ("task", task, f"{WHY.why} (2 within an hour)")
    assert resolve(urlsplit(held.page).path).url_name == "task"


def test_the_same_in_another_hour_is_another_notice() -> None:
    task = submit().task
    transact(lambda: move_task(task, "pause", WHY))
    Notice.objects.update(key="that of an hour before")
    transact(lambda: move_task(task, "resume", WHY))
    transact(lambda: move_task(task, "pause", WHY))
    assert titles() == [("Task t1 is held", 1), ("Task t1 is held", 1)]


def test_a_move_that_is_taken_back_has_no_notice() -> None:
    task = submit().task

    def fails() -> None:
        move_task(task, "pause", WHY)
        assert Notice.objects.exists()
        raise KeyError

    with pytest.raises(KeyError):
        transact(fails)
    assert not Notice.objects.exists()


def test_many_runs_of_a_task_that_are_held_together_are_one_notice() -> None:
    task = submit().task
    Product.objects.bulk_create(Product(task_id=task, run=run, merge="mDST") for run in range(1, 601))
    rows = Product.objects.all()
    transact(lambda: advance(PRODUCT, rows, ("waiting",), "manual", CYCLE))
    assert titles() == [("Runs of task t1 are held", 600)]
    assert Notice.objects.get().summary() == "run 1, mDST: it is so (600 within an hour)"
    assert resolve(Notice.objects.get().page).url_name == "run"


def test_a_breaker_that_opens_tries_and_closes_has_two_notices() -> None:
    submit()
    experiment = Experiment.objects.get(name="COMPASS")
    for node in ("wn1", "wn2"):
        fields = {"rule": "node", "scope": f"{SITE} {node}", "node": node, "site": site()}
        Breaker.objects.create(experiment=experiment, **fields)
    for sources, to in ((("closed",), "open"), (("open",), "probing"), (("probing",), "open"), (("open",), "closed")):
        transact(lambda sources=sources, to=to: advance(BREAKER, Breaker.objects.all(), sources, to, CYCLE))  # type: ignore[misc]
    assert titles() == [
        (f"Breaker node of {SITE} wn1 has tripped", 2),
        (f"Breaker node of {SITE} wn1 is reset", 2),
    ]
    assert set(Notice.objects.values_list("site__name", "cause")) == {(SITE, "node")}


def test_a_site_that_is_closed_and_opened_has_notices() -> None:
    submit()
    for word in ("close", "close", "open"):
        transact(lambda word=word: move_site(SITE, word, WHY))  # type: ignore[misc]
    assert titles() == [(f"Site {SITE} is closed", 1), (f"Site {SITE} is open", 1)]


def test_agents_that_die_have_one_notice_for_their_site_and_those_that_end_have_none() -> None:
    submit()
    for number in range(3):
        Agent.objects.create(name=f"a{number}", site=site(), seen=earlier(now(), 10_000))
    ended = Agent.objects.filter(name="a0")
    transact(lambda: advance(AGENT, ended, ("active",), "gone", Reason("agent:a0", "it ends", "attempt")))
    forget_agents()
    assert titles() == [(f"Agents at {SITE} are dead", 2)]


@override_settings(NOTICE_FAILURES=3)
def test_failures_of_one_cause_have_a_notice_from_the_threshold_on_and_one_only() -> None:
    task = submit([raw(1, chunk) for chunk in range(8)]).task
    for _ in range(2):
        fail(leased(), "crash", "fail")
    fail(leased(), "storage", "fail")
    assert (watch_failures(), titles()) == (0, [])
    fail(leased(), "crash", "fail")
    assert watch_failures() == 1
    notice = Notice.objects.get()
    assert (notice.task_id, notice.cause, notice.count) == (task, "crash", 3)
    assert notice.summary() == "3 attempts of 3 jobs failed by crash within an hour"
    assert resolve(urlsplit(notice.page).path).url_name == "failed-attempts"
    assert watch_failures() == 0
    for _ in range(2):
        fail(leased(), "crash", "fail")
    watch_failures()
    assert titles() == [("Many jobs of task t1 fail by crash", 5)]
    Notice.objects.update(at=earlier(now(), 3700), key="that of an hour before")
    watch_failures()
    assert [count for _, count in titles()] == [5, 5]


@override_settings(NOTICE_FAILURES=1)
def test_failures_of_more_than_an_hour_ago_have_none() -> None:
    submit()
    fail(leased(), "crash", "fail")
    Attempt.objects.update(ended=earlier(now(), 3700))
    assert (watch_failures(), titles()) == (0, [])


def test_a_factory_has_one_notice_for_each_silence() -> None:
    at = now()
    Factory.objects.create(name="f1", host="submit1", seen=earlier(at, 1000))
    Factory.objects.create(name="f2", seen=at)
    Factory.objects.create(name="long-gone", seen=earlier(at, 100_000))
    assert [watch_factories(), watch_factories()] == [1, 0]
    assert titles() == [("Factory f1 is silent", 1)]
    Factory.objects.filter(name="f1").update(seen=earlier(at, 950))
    assert watch_factories() == 1


def test_rule_files_that_change_have_one_notice_for_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rules" / "COMPASS" / "more.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("a: 1\n")
    monkeypatch.setenv("PILOTEXT_RULES", str(tmp_path / "rules"))
    assert watch_rule_files() == 0
    file.write_text("a: 22\n")
    assert [watch_rule_files(), watch_rule_files()] == [1, 0]
    file.write_text("a: 333\n")
    os.utime(file, ns=(1, 1))
    assert watch_rule_files() == 1
    assert Notice.objects.latest("pk").text == "more.yaml; restart the server to use them"
    file.unlink()
    assert watch_rule_files() == 1
    rule_files._at_start.cache_clear()


def test_texts_of_others_are_shown_as_text_and_are_short() -> None:
    task = submit().task
    Task.objects.filter(pk=task).update(name=HOSTILE * 20)
    transact(lambda: move_task(task, "pause", Reason("maria", f"{HOSTILE}\r\nBcc: x\uffff" * 100, "person")))
    notice = Notice.objects.get()
    for text in (notice.title, notice.text):
        assert_harmless(text, html=False)
        assert text.isprintable()
    assert len(notice.text) <= MAX_TEXT


def test_old_notices_are_removed() -> None:
    task = submit().task
    transact(lambda: move_task(task, "pause", WHY))
    assert forget_notices() == 0
    Notice.objects.update(at=earlier(now(), KEPT_S + 60))
    assert forget_notices() == 1
