"""Page of a run, and the grid of runs of a task: chunks, products, events, what holds them, decisions."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.api.schemas.runs import ProductRow, RunRow  # noqa: E402
from pilotext.server.pages.run import HeldBy, chunk_lines, decisions_on, held_by  # noqa: E402
from pilotext.server.production.models import Attempt, Job, LogArchive, Product, Task  # noqa: E402
from pilotext.server.times import earlier, now  # noqa: E402
from pilotext.storage.memory import MemoryStorage  # noqa: E402
from tests.server.merged import cycle, do_all, storage, submit_runs  # noqa: E402, F401
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.support import fail, leased, raw, submit  # noqa: E402

MAX_QUERIES = 12
"""Queries of the page of a run, those of session, user and role included, and those that say what holds it."""

DATABASE = pytest.mark.usefixtures("database", "quick_hashes")


def run_page(run: int, role: str = "viewer") -> str:
    answer = browser(role).get(f"/tasks/{Task.objects.get().pk}/runs/{run}")
    assert answer.status_code == 200
    return text_of(answer)


def row(jobs: dict[str, int], products: dict[str, str], findings: dict[str, str] | None = None) -> RunRow:
    return RunRow("t1", 7, jobs, products, findings or {})


@pytest.mark.unit
@pytest.mark.parametrize(
    ("run", "words"),
    [
        (row({"manual": 2, "ready": 5}, {"mdst": "manual"}), "2 chunks in manual check"),
        (row({"manual": 1}, {}), "1 chunk in manual check"),
        (row({"ready": 5}, {"mdst": "manual"}, {"mdst": "6 events fewer"}), "mdst: 6 events fewer"),
        (row({"ready": 5}, {"mdst": "manual"}), "mdst: needs a decision"),
        (row({"finished": 1, "running": 2, "ready": 1}, {"mdst": "waiting"}), "3 chunks in work"),
        (row({"finished": 1}, {"mdst": "kept", "hist": "copying"}), "hist copying"),
        (row({"finished": 1}, {"mdst": "kept", "hist": "cleaned"}), ""),
    ],
)
def test_a_run_says_what_holds_it_the_most_pressing_first(run: RunRow, words: str) -> None:
    assert held_by(run).words == words


@pytest.mark.unit
def test_only_what_can_be_listed_is_a_link() -> None:
    assert held_by(row({"manual": 1}, {})).link == "/jobs?task=t1&run=7&state=manual&product="
    assert held_by(row({"ready": 1}, {})) == HeldBy("1 chunk in work")


@pytest.mark.unit
def test_chunks_stand_by_their_event_builder() -> None:
    lines = list(
        chunk_lines([(9, None, 0, "ready"), (1, 11001, 0, "finished"), (2, 11004, 2, "manual"), (3, 12001, 0, "ready")])
    )
    assert [(line.builder, [(cell.number, cell.job) for cell in line.cells]) for line in lines] == [
        ("", [("9", 9)]),
        ("11", [("001", 1), ("004/2", 2)]),
        ("12", [("001", 3)]),
    ]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("state", "jobs", "words"),
    [
        ("waiting", {"finished": 1, "ready": 1}, []),
        ("waiting", {"finished": 1, "failed": 1}, ["merge-without", "resend-missing"]),
        ("waiting", {"ready": 1, "failed": 1}, ["resend-missing"]),
        ("manual", {"finished": 2}, ["remerge"]),
        ("kept", {"finished": 2}, ["remerge"]),
        ("merging", {"finished": 2}, ["remerge"]),
    ],
)
def test_decisions_on_a_product_are_those_of_its_state(state: str, jobs: dict[str, int], words: list[str]) -> None:
    product = ProductRow(1, "t1", 7, "mdst", state, 1, (), None, "", (), 1.0)
    assert [one.word for one in decisions_on(product, row(jobs, {}))] == words


@pytest.mark.unit
def test_chunks_that_were_left_out_can_be_sent_again() -> None:
    product = ProductRow(1, "t1", 7, "mdst", "kept", 1, (3, 4), None, "", (), 1.0)
    [resend, _] = decisions_on(product, row({"finished": 4}, {}))
    assert (resend.word, resend.effect) == ("resend-missing", "runs 2 chunks without result again, then merges")


@DATABASE
def test_a_run_shows_its_chunks_products_and_events(storage: MemoryStorage) -> None:  # noqa: F811
    submit_runs({7: 3})
    do_all(storage)
    cycle()
    do_all(storage)
    cycle(2)
    text = run_page(7)
    assert len(re.findall(r'class="cell good"', text)) == 3
    assert "memory://" in text
    assert re.search(r"<b>300</b><span>merged, mdst", text)
    answer = browser("viewer").get(f"/tasks/{Task.objects.get().pk}/runs/7/urls.txt")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert len(text_of(answer).splitlines()) == 1


@DATABASE
def test_tiles_of_a_run_lead_to_as_many_jobs_as_they_say() -> None:
    submit([raw(7, 1), raw(7, 2), raw(8, 1)], merges=["mdst"])
    text = run_page(7)
    ready = re.search(r'href="([^"]+)"><b>(\d)</b><span>chunks ready', text)
    assert ready is not None
    listed = text_of(browser("viewer").get(ready[1].replace("&amp;", "&")))
    assert len(set(re.findall(r'href="/jobs/(\d+)"', listed))) == int(ready[2]) == 2


@DATABASE
def test_a_decision_on_a_product_is_carried_out_and_leads_back_to_the_run() -> None:
    submit([raw(7, 1), raw(7, 2)], merges=["mdst"])
    Job.objects.filter(chunk=1).update(state="failed")
    Job.objects.filter(chunk=2).update(state="finished")
    product, task = Product.objects.get(), Task.objects.get().pk
    assert "without its 1 chunk without result" in run_page(7, "expert")
    form = {"product": product.pk, "to": "merge-without", "why": "the raw file is gone"}
    assert browser("viewer").post(f"/tasks/{task}/runs/7/decide", form).status_code == 403
    answer = browser("expert").post(f"/tasks/{task}/runs/7/decide", form)
    assert (answer.status_code, answer["Location"]) == (302, f"/tasks/{task}/runs/7")
    product.refresh_from_db()
    assert len(product.left_out) == 2  # the failed one, and the finished one that has published nothing


@DATABASE
@pytest.mark.parametrize("product", ["", "x", "99999", "{other}"])
def test_a_product_of_another_run_is_not_decided_on(product: str) -> None:
    submit([raw(7, 1), raw(8, 1)], merges=["mdst"])
    other = Product.objects.get(run=8)
    form = {"product": product.format(other=other.pk), "to": "remerge", "why": "x"}
    answer = browser("expert").post(f"/tasks/{Task.objects.get().pk}/runs/7/decide", form)
    assert answer.status_code == 404
    other.refresh_from_db()
    assert other.round == 1


@DATABASE
@pytest.mark.parametrize("run", [9, 2**31, 10**17])
def test_a_run_that_there_is_not_is_not_found(run: int) -> None:
    submit([raw(7, 1)])
    task = Task.objects.get().pk
    assert browser("viewer").get(f"/tasks/{task}/runs/{run}").status_code == 404
    assert browser("viewer").get(f"/tasks/{task + 1}/runs/7").status_code == 404
    assert browser("viewer").get(f"/tasks/{task}/runs/{run}/urls.txt").status_code == 404


@DATABASE
def test_the_page_of_a_run_costs_as_many_queries_for_many_chunks_as_for_few() -> None:
    viewer = browser("viewer")
    submit([raw(7, chunk) for chunk in (1, 2)] + [raw(8, chunk) for chunk in range(1, 61)], merges=["mdst", "hist"])
    fail(leased(), "calibration", "manual-check")
    numbers = []
    for run in (7, 8):
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get(f"/tasks/{Task.objects.get().pk}/runs/{run}").status_code == 200
        numbers.append(len(queries))
    assert max(numbers) <= MAX_QUERIES
    assert abs(numbers[0] - numbers[1]) <= 1


@DATABASE
def test_hostile_texts_of_a_run_stay_texts() -> None:
    submit([raw(7, 1)], merges=["mdst"])
    task = Task.objects.get()
    Product.objects.update(finding=HOSTILE, state="manual")
    LogArchive.objects.create(task=task, run=7, state="manual", name=HOSTILE, finding=HOSTILE)
    Task.objects.update(name=HOSTILE)
    assert_harmless(run_page(7, "manager"))


@DATABASE
def test_a_task_shows_its_pace_its_file_its_history_and_leads_to_its_runs() -> None:
    submit([raw(7, chunk) for chunk in range(1, 4)], merges=["mdst"])
    task = Task.objects.get().pk
    page = text_of(browser("viewer").get(f"/tasks/{task}"))
    assert f'href="/tasks/{task}/runs/7"' in page
    assert "cannot tell how long" in page
    assert "3 chunks in work" in page
    assert f'href="/tasks/{task}/file"' in page
    leased()
    Attempt.objects.update(state="finished", ended=earlier(now(), 60))
    page = text_of(browser("viewer").get(f"/tasks/{task}"))
    assert "about 18 h left at 0.2 an hour" in page
    page = text_of(browser("viewer").get(f"/tasks/{task}/file"))
    assert "&quot;experiment&quot;: &quot;COMPASS&quot;" in page
    assert "attempt 1 for" in page
    assert browser("viewer").get(f"/tasks/{task + 1}/file").status_code == 404
