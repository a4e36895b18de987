"""The list of jobs: choices of several values, numbers by attribute, order, and its twins for programs."""

from __future__ import annotations

import csv
import io
import re

import msgspec
import pytest

from pilotext.server.boot import boot

boot()

from pilotext.api.schemas.jobs import JobList, JobRow  # noqa: E402  needs boot
from pilotext.server.production.models import Agent, Attempt, Job  # noqa: E402
from pilotext.server.production.statistics import job_choice  # noqa: E402
from tests.server.pages.browsing import browser, text_of  # noqa: E402
from tests.server.support import fail, leased, raw, site, submit, succeed  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")


@pytest.fixture
def jobs() -> list[int]:
    """A finished job of wn1, two in manual check of wn2 and wn3, and one that waits; their numbers."""
    submit([raw(7, chunk) for chunk in range(1, 5)])
    done, second, third = leased("wn1"), leased("wn2"), leased("wn3")
    succeed(done)
    fail(second, "calibration", "manual-check", host="wn2")
    fail(third, "crash", "manual-check", host="wn3")
    Attempt.objects.filter(node="wn3").update(rule="coral/crash", code="COMPASS-1301")
    Job.objects.filter(cause="crash").update(code="COMPASS-1301")
    for node in ("wn2", "wn3"):
        agent = Agent.objects.create(name=f"slots-of-{node}", site=site())
        Attempt.objects.filter(node=node).update(agent=agent)
    return list(Job.objects.order_by("pk").values_list("pk", flat=True))


def listed(query: str) -> list[int]:
    text = text_of(browser("viewer").get(f"/jobs?{query}"))
    return [int(found) for found in re.findall(r'class="num"><a href="/jobs/(\d+)"', text)]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("", [3, 2, 1, 0]),
        ("order=oldest", [0, 1, 2, 3]),
        ("state=finished,manual", [2, 1, 0]),
        ("state=finished&state=ready", [3, 0]),
        ("node=wn2,wn3", [2, 1]),
        ("node=wn9", []),
        ("agent=slots-of-wn3", [2]),
        ("agent=slots-of-wn3,slots-of-wn2", [2, 1]),
        ("agent=slots-of-wn3&state=finished", []),
        ("site=CERN_COMPASS_PROD", [2, 1, 0]),
        ("rule=coral/crash", [2]),
        ("rule=&state=manual", [1]),
        ("code=COMPASS-1301,COMPASS-1241", [2, 1]),
        ("cause=crash,", [3, 2, 0]),
        ("message=calibration it was", [1]),
        ("message=calibration", []),
        ("changed_since=1h&changed_until=2999-01-01", [3, 2, 1, 0]),
        ("changed_until=2001-01-01T12:30", []),
    ],
)
def test_a_choice_of_several_values_lists_just_these_jobs(query: str, places: list[int], jobs: list[int]) -> None:
    assert listed(query) == [jobs[place] for place in places]


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("state=finished,manul", 422, "Did you mean &#x27;manual&#x27;"),
        ("site=CERN", 404, "There is no site"),
        ("agent=slots-of-wn4", 404, "There is no agent"),
        ("rule=coral/crahs", 404, "There is no rule"),
        ("changed_since=yesterday", 422, "not a point in time"),
        ("job=x", 422, "named by numbers"),
        (f"job={','.join(map(str, range(1001)))}", 422, "at most 1000"),
        ("order=random", 422, "order"),
    ],
)
def test_values_that_there_are_not_are_refused_in_words(query: str, status: int, said: str, jobs: list[int]) -> None:
    answer = browser("viewer").get(f"/jobs?{query}")
    assert answer.status_code == status
    assert said in text_of(answer)


def test_the_numbers_beside_the_list_are_those_of_the_lists_that_they_lead_to(jobs: list[int]) -> None:
    viewer = browser("viewer")
    text = text_of(viewer.get("/jobs"))
    counts = re.findall(r"<dd>(.*?)</dd>", re.search(r'class="facts counts">(.*?)</dl>', text, re.DOTALL)[1], re.DOTALL)  # type: ignore[index]
    links = [
        found for each in counts for found in re.findall(r'href="([^"]+)">[^<]*</a> <span class="muted">(\d+)', each)
    ]
    assert len(links) >= 8
    for link, number in links:
        shown = text_of(viewer.get(link.replace("&amp;", "&")))
        assert shown.count('class="num"><a href="/jobs/') == int(number), link


def test_of_very_many_jobs_the_newest_are_counted_and_it_is_said(
    jobs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_choice, "MAX_COUNTED", 2)
    text = text_of(browser("viewer").get("/jobs"))
    assert "of the newest" in text
    assert "of the newest" not in text_of(browser("viewer").get("/jobs?state=manual"))


def test_pages_go_on_in_both_directions(jobs: list[int]) -> None:
    for order, expected in (("newest", jobs[::-1]), ("oldest", jobs)):
        first = text_of(browser("viewer").get(f"/jobs?limit=3&order={order}"))
        further = re.search(r'href="([^"]+)">Further', first)
        assert further is not None
        second = text_of(browser("viewer").get(further[1].replace("&amp;", "&")))
        shown = [
            int(each) for text in (first, second) for each in re.findall(r'class="num"><a href="/jobs/(\d+)"', text)
        ]
        assert shown == expected


def test_empty_fields_of_the_form_are_no_choice(jobs: list[int]) -> None:
    answer = browser("viewer").get("/jobs?form=1&task=&code=&assigned=&state=manual")
    assert (answer.status_code, answer["Location"]) == (302, "/jobs?state=manual")


def test_a_choice_that_moves_with_the_time_has_a_link_that_does_not(jobs: list[int]) -> None:
    text = text_of(browser("viewer").get("/jobs?changed_since=2d&state=manual"))
    locked = re.search(r'href="([^"]+)">The same with the times of now', text)
    assert locked is not None
    assert re.fullmatch(
        r"/jobs\?changed_since=\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d&amp;state=manual&amp;changed_until=.*", locked[1]
    )
    assert browser("viewer").get(locked[1].replace("&amp;", "&")).status_code == 200
    assert "times of now" not in text_of(browser("viewer").get("/jobs?changed_since=2001-01-01"))


def test_the_twins_have_the_same_jobs(jobs: list[int]) -> None:
    viewer = browser("viewer")
    document = msgspec.json.decode(text_of(viewer.get("/jobs.json?state=manual")), type=dict[str, object])
    assert [row["job"] for row in document["jobs"]] == [jobs[2], jobs[1]]  # type: ignore[attr-defined]
    assert JobList.__struct_fields__ == tuple(document)
    answer = viewer.get("/jobs.csv?state=manual")
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text_of(answer))))
    assert [int(row["job"]) for row in rows] == [jobs[2], jobs[1]]
    assert tuple(rows[0]) == JobRow.__struct_fields__


def test_a_spreadsheet_gets_no_formulas(jobs: list[int]) -> None:
    Job.objects.filter(pk=jobs[1]).update(diag='=HYPERLINK("http://x","y")', file="\t@x", assigned="+1")
    (row,) = csv.DictReader(io.StringIO(text_of(browser("viewer").get(f"/jobs.csv?job={jobs[1]}"))))
    assert (row["diag"][0], row["assigned"][0]) == ("'", "'")
    assert not row["file"].lstrip().startswith("@")


def test_a_page_of_a_hundred_jobs_is_small() -> None:
    submit([raw(270000, chunk) for chunk in range(11001, 11121)], name="dvcs2016P09t1_mass_production")
    Job.objects.update(diag="x" * 250, code="COMPASS-1241", assigned="somebody", state="manual")
    assert len(browser("expert").get("/jobs").content) < 100_000
