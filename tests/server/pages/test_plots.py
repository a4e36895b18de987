"""Plots of seven days: their numbers are those of the attempts, and each leads to the list of what it counts."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.db.models import F  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from msgspec.structs import replace  # noqa: E402

from pilotext.model.report import Transfer, Usage  # noqa: E402
from pilotext.server.pages.plotting import PLOTS, Plot, draw, series_of  # noqa: E402
from pilotext.server.production.models import (  # noqa: E402
    Attempt,
    Experiment,
    HourlyTransfers,
    Job,
    Site,
    StagedFile,
    Task,
)
from pilotext.server.production.statistics.hourly import count_hours  # noqa: E402
from pilotext.server.production.statistics.series import Measured  # noqa: E402
from pilotext.server.times import HOUR_S, earlier, now  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.support import SITE, fail, leased, raw, report_of, send, submit  # noqa: E402

DATABASE = pytest.mark.usefixtures("database", "quick_hashes")
MAX_QUERIES = 12


def made() -> None:
    """One attempt succeeded, one has failed an hour ago, one runs."""
    submit([raw(1, chunk) for chunk in range(1, 4)])
    fail(leased())
    Attempt.objects.update(leased=F("leased") - timedelta(hours=2), ended=F("ended") - timedelta(hours=1))
    given = leased()
    moved = Transfer("in.raw", "root://eos.example//a/in.raw", 72_000_000, "0a0b0c0d", 2.5)
    send(given, replace(report_of(given), usage=Usage(wall_s=100.0, cpu_s=80.0), inputs=(moved,)))
    leased()
    while count_hours():
        pass


def numbers(name: str) -> dict[str, float]:
    """The sums over all hours of a plot, as its CSV has them, by series."""
    text = text_of(browser("viewer").get(f"/plots/{name}/hours.csv"))
    sums: dict[str, float] = {}
    for row in csv.DictReader(io.StringIO(text)):
        sums[row["series"]] = sums.get(row["series"], 0.0) + float(row["number"])
    return sums


@DATABASE
def test_numbers_of_plots_are_those_of_the_attempts() -> None:
    made()
    state = Attempt.objects.exclude(state__in=("failed", "leased", "running")).get().state
    assert numbers("states") == {"failed": 1, state: 1}
    assert numbers("started") == {"mass production": 3}
    assert numbers("submitted") == {"tester": 3}
    assert numbers("failures") == {"crash": 1}
    assert numbers("efficiency") == {"efficiency": 80}
    assert numbers("events")["events"] * HOUR_S == pytest.approx(90)
    assert numbers("storage")["from root://eos.example"] * HOUR_S == pytest.approx(72)
    assert numbers("sites")[SITE] * HOUR_S >= 72
    assert numbers("running-people") == numbers("running-sites").__class__({"tester": numbers("running-sites")[SITE]})


@DATABASE
def test_attempts_ran_from_their_beginning_to_their_end() -> None:
    made()
    text = text_of(browser("viewer").get("/plots/running-sites/hours.csv"))
    at_work = [float(row["number"]) for row in csv.DictReader(io.StringIO(text))]
    assert at_work[-1] == 1
    assert at_work[-4:-1] in ([0, 1, 0], [0, 1, 1], [1, 1, 0])  # where in its hour the test runs
    assert sum(at_work[:-4]) == 0


@DATABASE
@pytest.mark.parametrize("name", ["states", "failures", "started"])
def test_each_number_of_the_table_leads_to_as_many_attempts(name: str) -> None:
    made()
    viewer = browser("viewer")
    cells = re.findall(r'<td class="num"><a href="([^"]+)">(\d+)</a>', text_of(viewer.get(f"/plots/{name}")))
    assert cells
    for link, number in cells:
        listed = text_of(viewer.get(link.replace("&amp;", "&")))
        assert len(re.findall(r'href="/jobs/\d+\?attempt=', listed)) == int(number), link


@DATABASE
def test_attempts_that_ran_then_are_listed() -> None:
    made()
    first = Attempt.objects.order_by("pk")[0]
    listed = text_of(
        browser("viewer").get(f"/attempts?by=running&until={first.leased.timestamp() + 60:.0f}&submitter=tester")
    )
    assert re.findall(r'href="/jobs/(\d+)\?attempt=', listed) == [str(first.job_id)]
    assert "were running" in listed
    nobody = text_of(browser("viewer").get("/attempts?by=running&submitter=nobody"))
    assert "No attempt is chosen by this" in nobody


@DATABASE
def test_a_list_of_attempts_says_since_when_they_are() -> None:
    assert re.search(r"Since <time.*</time>, the newest first", text_of(browser("viewer").get("/attempts?since=2w")))
    assert "Of the last 24 hours, the newest first" in text_of(browser("viewer").get("/attempts"))


@DATABASE
def test_files_from_tape_are_counted_by_the_time_that_they_were_waited_for() -> None:
    """Not those that are asked for again, nor those that came before the week, nor those that have not come."""
    submit([raw(1, 1)])
    at, compass = now(), Experiment.objects.get(name="COMPASS")
    for number, (asked_h, came_h) in enumerate(((3, 2.5), (9, 2.5), (2, 3), (300, 200), (5, None), (60, 2))):
        StagedFile.objects.create(
            url=f"root://tape//{number}.raw",
            experiment=compass,
            requested=earlier(at, asked_h * HOUR_S),
            came=None if came_h is None else earlier(at, came_h * HOUR_S),
        )
    assert numbers("tape") == {"under 1 h": 1, "4 to 12 h": 1, "over 24 h": 1}
    text = text_of(browser("viewer").get("/plots/tape"))
    plot = text.partition('<svg class="plot"')[2].partition("</table>")[0]
    assert "<rect" in plot
    assert "href" not in plot  # no list has just these files
    chosen = text_of(browser("viewer").get("/plots/tape?task=t1"))
    assert "Nothing of this in the last seven days" in chosen
    assert "Nothing of this in the last seven days" in text_of(browser("viewer").get(f"/plots/tape?site={SITE}"))
    Job.objects.update(staged_file=StagedFile.objects.order_by("pk")[1])
    assert "<b>1</b>" in text_of(browser("viewer").get("/plots/tape?task=t1"))


@DATABASE
def test_waits_for_tape_begin_with_the_hour_that_they_are_named_by() -> None:
    waits = {
        "under 1 h": (0, 0.99),
        "1 to 4 h": (1,),
        "4 to 12 h": (4, 11.9),
        "12 to 24 h": (23.9,),
        "over 24 h": (24,),
    }
    submit([raw(1, 1)])
    at, compass = now(), Experiment.objects.get(name="COMPASS")
    for hours in (each for same in waits.values() for each in same):
        StagedFile.objects.create(
            url=f"root://tape//{hours}.raw",
            experiment=compass,
            requested=earlier(at, HOUR_S * (1 + hours)),
            came=earlier(at, HOUR_S),
        )
    assert numbers("tape") == {name: len(same) for name, same in waits.items()}


@DATABASE
def test_a_choice_of_a_task_and_a_site_is_kept_and_unknown_names_are_refused() -> None:
    made()
    viewer = browser("viewer")
    page = text_of(viewer.get(f"/plots?task=t1&site={SITE}"))
    assert f"/plots/states?task=t1&amp;site={SITE}" in page
    assert f"task=t1&amp;site={SITE}&amp;state=failed" in page
    for address in ("/plots?task=t9", "/plots?site=NOWHERE", "/plots/nothing", "/plots/nothing/hours.csv"):
        assert viewer.get(address).status_code == 404, address
    assert viewer.get("/attempts?by=walking").status_code == 422


@DATABASE
@pytest.mark.parametrize("path", ["/plots", "/plots/states", f"/plots?task=t1&site={SITE}", "/attempts"])
def test_plots_cost_few_queries(path: str) -> None:
    made()
    viewer = browser("viewer")
    with CaptureQueriesContext(connection) as queries:
        assert viewer.get(path).status_code == 200
    assert len(queries) <= MAX_QUERIES


@DATABASE
@pytest.mark.parametrize("path", ["/plots", "/plots/storage", "/plots/running-people", "/plots/started", "/attempts"])
def test_hostile_names_in_plots_stay_texts(path: str) -> None:
    made()
    Task.objects.update(submitter=HOSTILE, type=HOSTILE, name=HOSTILE)
    Attempt.objects.update(cause=HOSTILE, node=HOSTILE, code=HOSTILE)
    HourlyTransfers.objects.update(storage=HOSTILE)
    Site.objects.filter(name=SITE).update(name=HOSTILE)
    assert_harmless(text_of(browser("viewer").get(path)))


def drawn(**series: list[float]) -> Plot:
    found = Measured(100, 103)
    for name, values in series.items():
        for hour, value in enumerate(values, 100):
            found.ended[name][hour] = value
    return draw("states", found, {}, 1, 2)


@pytest.mark.unit
def test_bars_stand_on_each_other_the_largest_series_below() -> None:
    plot = drawn(failed=[0, 1, 0, 0], finished=[4, 3, 0, 2])
    assert [(one.name, one.colour, one.words) for one in plot.series] == [("finished", 2, "9"), ("failed", 4, "1")]
    assert plot.series[0].path == "M1 100V0h8V100zM11 100V25h8V100zM31 100V50h8V100z"
    assert plot.series[1].path == "M11 25V0h8V25z"
    assert (plot.top, plot.width) == ("4", 40)
    assert [[cell.words for cell in row.cells] for row in plot.rows] == [["2", "0"], ["7", "1"]]
    assert plot.columns[2].words.endswith(": none")


@pytest.mark.unit
def test_of_many_series_the_smallest_are_summed_up() -> None:
    plot = drawn(**{f"s{number}": [10.0 - number, 0, 0, 0] for number in range(9)})
    assert [one.name for one in plot.series] == ["s0", "s1", "s2", "s3", "s4", "others"]
    assert plot.series[-1].words == plot.rows[1].cells[-1].words == "14"
    assert len({one.colour for one in plot.series}) == 6


@pytest.mark.unit
@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_without_numbers_is_empty(name: str) -> None:
    found = Measured(100, 103)
    assert series_of(name, found, 2) == {}
    assert draw(name, found, {}, 1, 2).rows == ()


@pytest.mark.unit
def test_an_hour_without_wall_time_has_no_efficiency() -> None:
    found = Measured(100, 101)
    found.usage["CPU"][100], found.usage["wall"][100] = 50.0, 100.0
    assert series_of("efficiency", found, 1) == {"efficiency": [50.0, 0.0]}
