"""Periods over all tasks, and pages that were cut off before: older tasks, further agents, run 0, a run with the number
of a job."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.server.pages import sites, tasks  # noqa: E402
from pilotext.server.production.models import Agent, Job, Product, Site, Task  # noqa: E402
from pilotext.server.production.statistics.runs import list_runs  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.support import PARAMETERS, SITE, fail, leased, raw, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")
MAX_QUERIES = 12


def of_period(period: str, slot: int) -> dict[str, object]:
    return {**PARAMETERS, "production": f"prod{slot}", "soft": f"soft{slot}", "period": period}


def made() -> None:
    """Two tasks of W14 that have run 7 both, one of another period, one of none."""
    submit([raw(7, 1), raw(7, 2), raw(8, 1)], name="t1", parameters=of_period("W14", 1), merges=["mdst"])
    submit([raw(7, 1), raw(6, 1)], name="t2", parameters=of_period("W14", 2))
    submit([raw(9, 1)], name="t3", parameters=of_period("P09", 3))
    submit([raw(9, 2)], name="t4", parameters=of_period("", 4))
    Task.objects.filter(name="t4").update(year=None)
    fail(leased(), "calibration", "manual-check")


def rows_of(text: str) -> list[str]:
    return [re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)]


def test_periods_have_the_jobs_of_all_their_tasks() -> None:
    made()
    text = text_of(browser("viewer").get("/periods"))
    (row,) = [row.split() for row in rows_of(text) if "W14" in row]
    assert row == ["2016", "W14", "2", "5", "0", "4", "1", "0", "0"]
    assert "no period" in text
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/period[^"s]*)"', text)]
    assert len(links) == 3
    assert [browser("viewer").get(link).status_code for link in links] == [200, 200, 200]


def test_a_run_of_a_period_has_a_row_for_each_task() -> None:
    made()
    text = text_of(browser("viewer").get("/period?year=2016&period=W14"))
    runs = re.findall(r'href="/tasks/(\d+)/runs/(\d+)"', text)
    first, second = Task.objects.get(name="t1").pk, Task.objects.get(name="t2").pk
    assert runs == [(str(second), "6"), (str(second), "7"), (str(first), "7"), (str(first), "8")]
    assert 'rowspan="2"' in text
    assert "1 chunk in manual check" in text
    assert "soft1" in text
    assert "generalprod" not in text, "a parameter that is the same in all tasks"


def test_a_period_can_show_its_open_runs_only() -> None:
    made()
    viewer = browser("viewer")
    Job.objects.filter(task__name__in=("t1", "t2"), run__in=(7, 8)).update(state="finished")
    Product.objects.filter(task__name="t1", run=7).update(state="kept")
    text = text_of(viewer.get("/period?year=2016&period=W14"))
    assert re.findall(r"/runs/(\d+)", text) == ["6", "7", "7", "8"]
    [link] = re.findall(r'href="([^"#]+)#runs">open runs', text)
    text = text_of(viewer.get(link.replace("&amp;", "&")))
    assert re.findall(r"/runs/(\d+)", text) == ["6", "8"], "a chunk of 6 is ready, and the product of 8 is not kept"
    Job.objects.filter(run=6).update(state="cancelled")
    Product.objects.filter(run=8).update(state="cleaned")
    text = text_of(viewer.get(link.replace("&amp;", "&")))
    assert "No further run is open." in text
    assert viewer.get("/period?year=2016&period=W14&open=no").status_code == 422


def test_runs_of_a_period_go_on_on_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    monkeypatch.setattr("pilotext.server.pages.periods.RUNS", 2)
    text = text_of(browser("viewer").get("/period?year=2016&period=W14"))
    (further,) = re.findall(r'href="([^"]+)">Further runs', text)
    assert re.findall(r"/runs/(\d+)", text) == ["6", "7", "7"]
    text = text_of(browser("viewer").get(further.replace("&amp;", "&")))
    assert re.findall(r"/runs/(\d+)", text) == ["8"]
    assert "Further runs" not in text


def test_a_period_that_nobody_has_is_not_found() -> None:
    made()
    assert browser("viewer").get("/period?year=1999").status_code == 404
    assert browser("viewer").get("/period?year=x").status_code == 422


@pytest.mark.parametrize("path", ["/periods", "/period?year=2016&period=W14", "/tasks", "/sites", "/"])
def test_pages_of_periods_and_lists_cost_few_queries(path: str) -> None:
    made()
    viewer = browser("viewer")
    with CaptureQueriesContext(connection) as queries:
        assert viewer.get(path).status_code == 200
    assert len(queries) <= MAX_QUERIES


def test_hostile_periods_stay_texts() -> None:
    made()
    Task.objects.update(period=HOSTILE, parameters={HOSTILE: HOSTILE})
    Task.objects.filter(name="t2").update(parameters={HOSTILE: "another"})
    Product.objects.update(merge=HOSTILE)
    viewer = browser("viewer")
    text = text_of(viewer.get("/periods"))
    assert_harmless(text)
    link = re.findall(r'href="(/period\?[^"]*)"', text)[0].replace("&amp;", "&")
    answer = viewer.get(link)
    assert answer.status_code == 200
    assert_harmless(text_of(answer))


def test_older_tasks_are_on_further_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    monkeypatch.setattr(tasks, "TASKS", 3)
    viewer = browser("viewer")
    text = text_of(viewer.get("/tasks"))
    names = re.findall(r'href="/tasks/\d+">(t\d)', text)
    (older,) = re.findall(r'href="([^"]+)">Older tasks', text)
    text = text_of(viewer.get(older))
    assert [*names, *re.findall(r'href="/tasks/\d+">(t\d)', text)] == ["t4", "t3", "t2", "t1"]
    assert "Older tasks" not in text
    assert viewer.get("/tasks?before=x").status_code == 422


def test_further_agents_are_on_further_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "AGENTS", 2)
    at = Site.objects.get(name=SITE)
    for number in range(3):
        Agent.objects.create(name=f"agent-{number}", site=at)
    viewer = browser("viewer")
    text = text_of(viewer.get("/sites"))
    names = re.findall(r'<td><a href="/jobs\?agent=(agent-\d)">', text)
    (further,) = re.findall(r'href="([^"]+)">Further agents', text)
    text = text_of(viewer.get(further))
    assert [*names, *re.findall(r'<td><a href="/jobs\?agent=(agent-\d)">', text)] == ["agent-0", "agent-1", "agent-2"]
    assert "Further agents" not in text
    assert viewer.get("/sites?after=x").status_code == 422


def test_run_0_is_listed() -> None:
    submit([raw(1, 1), raw(2, 1)])
    Job.objects.filter(run=1).update(run=0)
    task = Task.objects.get().pk
    assert f"/tasks/{task}/runs/0" in text_of(browser("viewer").get(f"/tasks/{task}"))
    page = list_runs("t1", run=None, state=None, after=None, limit=1)
    assert [row.run for row in page.runs] == [page.next] == [0]
    assert [row.run for row in list_runs("t1", run=None, state=None, after=0, limit=1).runs] == [2]


def test_a_search_for_a_job_and_a_run_of_one_number_shows_both() -> None:
    submit([raw(1, 1), raw(2, 1)])
    job, task = Job.objects.order_by("pk")[0].pk, Task.objects.get().pk
    viewer = browser("viewer")
    assert viewer.get(f"/search?q={job}").status_code in (200, 302)
    Job.objects.exclude(pk=job).update(run=job)
    Job.objects.filter(pk=job).update(run=job + 5000)
    Task.objects.update(name=HOSTILE)
    text = text_of(viewer.get(f"/search?q={job}"))
    assert f'href="/jobs/{job}"' in text
    assert f'href="/tasks/{task}/runs/{job}"' in text
    assert_harmless(text)
    assert viewer.get(f"/search?q={job + 5000}")["Location"] == f"/jobs?run={job + 5000}"
    assert viewer.get("/search?q=99999999999")["Location"] == "/jobs?run=99999999999"
