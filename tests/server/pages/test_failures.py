"""Failures: every number of the cross table leads to as many attempts, bars, breakers, and who may close them."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.api.schemas.errors import ErrorRow  # noqa: E402
from pilotext.server.pages.failures import Axis, FailureQuery, days_of, table_of  # noqa: E402
from pilotext.server.pages.templatetags.pages import codes_of_rules  # noqa: E402
from pilotext.server.production.models import Attempt, Breaker, Experiment, Signature, Task  # noqa: E402
from pilotext.server.times import earlier, now  # noqa: E402
from tests.server.pages.browsing import browser, text_of  # noqa: E402
from tests.server.support import fail, leased, raw, submit, succeed  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")
MAX_QUERIES = 12


@pytest.fixture
def failures() -> None:
    """Two failures of one code on one node, one of another cause, one success."""
    submit([raw(7, chunk) for chunk in range(1, 5)])
    given = [leased(f"wn{number}") for number in range(4)]
    succeed(given[0])
    fail(given[1], "calibration", "manual-check")
    fail(given[2], "calibration", "manual-check")
    fail(given[3], "crash", "retry")
    Attempt.objects.filter(cause="crash").update(code="COMPASS-1301")


@pytest.mark.parametrize("axes", ["", "rows=cause&columns=task", "rows=day&columns=code", "rows=site&columns=day"])
def test_each_number_leads_to_as_many_attempts(axes: str, failures: None) -> None:
    viewer = browser("viewer")
    text = text_of(viewer.get(f"/failures?{axes}"))
    links = re.findall(r'href="(/failures/attempts[^"]*)">(\d+)</a>', text)
    assert len(links) >= 2
    assert "3 failed attempts" in text
    for link, number in links:
        listed = text_of(viewer.get(link.replace("&amp;", "&")))
        assert listed.count('class="num"><a href="/jobs/') == int(number), link


@pytest.mark.parametrize(("rows", "columns"), [("day", "code"), ("site", "day")])
def test_days_stand_in_the_order_of_time_and_not_of_their_numbers(rows: Axis, columns: Axis) -> None:
    counts = {"2026-11-28": 5, "2026-11-30": 1, "2026-11-29": 9}
    found = [ErrorRow("C-1", "crash", "A", "t", day, number, number, 0.0) for day, number in counts.items()]
    table = table_of(found, FailureQuery(rows=rows, columns=columns), {})
    shown = table.columns if columns == "day" else tuple(line.name for line in table.lines)
    assert shown == ("2026-11-30", "2026-11-29", "2026-11-28")


def test_other_values_stand_by_their_numbers_the_most_frequent_first() -> None:
    found = [
        ErrorRow("C-1", "crash", site, "t", "2026-11-30", number, number, 0.0) for site, number in (("A", 1), ("B", 7))
    ]
    assert table_of(found, FailureQuery(), {}).columns == ("B", "A")


def test_attempts_of_a_choice_go_on_on_the_next_page(failures: None) -> None:
    viewer = browser("viewer")
    first = text_of(viewer.get("/failures/attempts?limit=2"))
    further = re.search(r'href="([^"]+)">Further', first)
    assert further is not None
    second = text_of(viewer.get(further[1].replace("&amp;", "&")))
    numbers = [int(each) for text in (first, second) for each in re.findall(r'num"><a href="/jobs/(\d+)', text)]
    assert len(numbers) == len(set(numbers)) == 3
    assert "Further" not in second


def test_attempts_that_were_lost_have_their_own_row(failures: None) -> None:
    Attempt.objects.filter(cause="crash").update(state="lost", cause="", code="")
    viewer = browser("viewer")
    link = re.search(
        r'href="(/failures/attempts\?[^"]*cause=lost[^"]*)">1</a>', text_of(viewer.get("/failures?rows=cause"))
    )
    assert link is not None
    assert "lost" in text_of(viewer.get(link[1].replace("&amp;", "&")))


def test_a_period_without_failures_says_so_and_old_ones_do_not_count(failures: None) -> None:
    Attempt.objects.update(ended=earlier(now(), 3 * 86400))
    viewer = browser("viewer")
    assert "No attempt has failed in this time" in text_of(viewer.get("/failures"))
    assert "3 failed attempts" in text_of(viewer.get("/failures?since=7d"))
    assert "times of now" in text_of(viewer.get("/failures"))


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("rows=colour", 422, "colour"),
        ("since=yesterday", 422, "not a point in time"),
        ("site=CERN", 404, "There is no site"),
        ("task=t9", 404, "There is no task"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(query: str, status: int, said: str, failures: None) -> None:
    for page in ("/failures", "/failures/attempts", "/failures.csv"):
        answer = browser("viewer").get(f"{page}?{query}")
        assert answer.status_code == status
        assert said in text_of(answer)


def test_another_period_forgets_the_end_of_the_one_before(failures: None) -> None:
    text = text_of(browser("viewer").get("/failures?since=2d&until=1d&rows=site"))
    links = [unescape(each) for each in re.findall(r'href="(/failures\?[^"]*since=1h[^"]*)"', text)]
    assert links, "the hour is offered"
    assert all("rows=site" in each and "until" not in each for each in links)


def test_the_twin_counts_the_same(failures: None) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of(browser("viewer").get("/failures.csv")))))
    assert sum(int(row["attempts"]) for row in rows) == 3


def test_every_day_has_a_bar_also_one_without_failures(failures: None) -> None:
    bars = days_of((), {})
    assert len(bars) == 14
    assert {bar.height for bar in bars} == {0.0}
    assert text_of(browser("viewer").get("/failures")).count("<rect") == 14


def test_a_breaker_is_closed_by_a_manager_with_a_reason(failures: None) -> None:
    experiment = Experiment.objects.get(name="COMPASS")
    held = Breaker.objects.create(
        experiment=experiment, rule="bad-node", scope="node wn1", node="wn1", state="open", why="5 of 5 failed"
    )
    assert "5 of 5 failed" in text_of(browser("viewer").get("/failures"))
    page = f"/breakers/{held.pk}/decide"
    assert browser("expert").post(page, {"to": "close", "why": "x"}).status_code == 403
    assert browser("manager").post(page, {"to": "close"}).status_code == 422
    assert browser("manager").post(page, {"to": "close", "why": "the disk is new"}).status_code == 302
    held.refresh_from_db()
    assert held.state == "closed"
    assert browser("manager").post(page, {"to": "close", "why": "x"}).status_code == 409


def test_an_unknown_failure_leads_to_its_jobs_and_to_the_draft_of_a_rule(failures: None) -> None:
    experiment = Experiment.objects.get(name="COMPASS")
    known = Signature.objects.create(experiment=experiment, signature="0123456789abcdef", count=2, diag="odd <b>")
    Attempt.objects.filter(cause="crash").update(signature=known)
    text = text_of(browser("viewer").get("/failures"))
    assert "pilotext rules draft 0123456789abcdef" in text
    assert 'href="/jobs?signature=0123456789abcdef">1</a>' in text
    known.delete()
    Signature.objects.create(experiment=experiment, signature="fedcba9876543210", diag="of rows that are gone")
    assert "of rows that are gone" not in text_of(browser("viewer").get("/failures"))
    assert "odd &lt;b&gt;" in text


@pytest.mark.parametrize("page", ["/failures", "/failures/attempts"])
def test_pages_of_failures_cost_few_queries(page: str, failures: None) -> None:
    viewer = browser("viewer")
    viewer.get(page)
    with CaptureQueriesContext(connection) as queries:
        assert viewer.get(page).status_code == 200
    assert len(queries) <= MAX_QUERIES


def test_codes_name_the_rules_behind_them(failures: None) -> None:
    viewer = browser("viewer")
    code = Attempt.objects.exclude(cause="crash").exclude(code="").values_list("code", flat=True)[0]
    rule = next(name for name, known in codes_of_rules("COMPASS").items() if known == code)
    link = f'href="/rules/COMPASS/{rule}">{rule}</a>'
    assert link in text_of(viewer.get("/failures"))
    assert link not in text_of(viewer.get("/failures?rows=cause")), "a cause has many rules"
    assert viewer.get(f"/rules/COMPASS/{rule}").status_code == 200


def test_a_task_says_how_many_failures_it_leaves_out(failures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, task = browser("viewer"), Task.objects.get()
    assert "with fewer failures" not in text_of(viewer.get(f"/tasks/{task.pk}"))
    monkeypatch.setattr("pilotext.server.pages.tasks.TOP_FAILURES", 1)
    text = text_of(viewer.get(f"/tasks/{task.pk}"))
    assert "1 more row with fewer failures" in text
    [link] = re.findall(r'href="([^"]+)">All failures of the task', text)
    assert "3 failed attempts" in text_of(viewer.get(unescape(link)))
