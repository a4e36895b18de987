"""Hourly statistics equal what is in the attempts, whatever happens to those later."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F, Sum
from msgspec.structs import replace

from pilotext.model.report import Transfer, Usage
from pilotext.server.production.models import Attempt, HourlyAttempts, HourlyTransfers, Task
from pilotext.server.production.statistics.hourly import HOURS_AT_ONCE, count_hours
from tests.server.support import fail, leased, raw, report_of, send, submit

pytestmark = pytest.mark.usefixtures("database")


def count_all() -> None:
    while count_hours():
        pass


def counted() -> list[tuple[str, str, int, float, int]]:
    """State, cause, attempts, CPU time and events over all hours."""
    rows = HourlyAttempts.objects.order_by("state", "cause").values_list("state", "cause")
    return list(rows.annotate(Sum("attempts"), Sum("cpu_s"), Sum("events")))


def succeed_with_usage() -> None:
    given = leased()
    raw_file = Transfer("in.raw", "root://eos.example//a/in.raw", 5_000_000, "0a0b0c0d", 2.5)
    usage = Usage(wall_s=100.0, cpu_s=90.0, peak_memory_mb=1500.0)
    send(given, replace(report_of(given), usage=usage, inputs=(raw_file, raw_file)))


def test_attempts_are_counted_by_state_and_cause_with_the_sums_of_their_reports() -> None:
    submit([raw(1, chunk) for chunk in range(1, 4)])
    succeed_with_usage()
    fail(leased())
    leased()
    count_all()
    Attempt.objects.filter(state="verifying").update(state="finished")
    count_all()
    assert counted() == [("failed", "crash", 1, 0.0, 0), ("finished", "", 1, 90.0, 90), ("started", "", 3, 0.0, 0)]
    row = HourlyAttempts.objects.get(state="finished")
    assert (row.task.submitter, row.task.year, row.wall_s, row.peak_memory_mb) == ("tester", 2016, 100.0, 1500.0)
    moved = HourlyTransfers.objects.get(direction="in")
    assert (moved.storage, moved.files, moved.bytes, moved.seconds) == ("root://eos.example", 2, 10_000_000, 5.0)
    assert HourlyTransfers.objects.filter(direction="out").count() == 1


def test_what_did_not_change_is_not_written_again() -> None:
    submit()
    fail(leased())
    count_all()
    before = sorted(HourlyAttempts.objects.values_list("pk", flat=True))
    count_all()
    assert sorted(HourlyAttempts.objects.values_list("pk", flat=True)) == before


@pytest.mark.parametrize(("before", "after"), [("verifying", "finished"), ("lost", "failed")])
def test_hours_that_may_still_change_are_counted_again(before: str, after: str) -> None:
    submit([raw(1, 1), raw(1, 2)])
    fail(leased())
    Attempt.objects.update(state=before, leased=F("leased") - timedelta(hours=5), ended=F("ended") - timedelta(hours=5))
    count_all()
    Attempt.objects.update(state=after)
    leased()
    count_all()
    assert {state for state, *_ in counted()} == {after, "started"}


def test_long_ago_and_long_nothing_are_counted_too_a_few_hours_at_a_time() -> None:
    submit([raw(1, 1), raw(1, 2)])
    fail(leased())
    Attempt.objects.update(leased=F("leased") - timedelta(hours=900), ended=F("ended") - timedelta(hours=200))
    fail(leased())
    count_all()
    hours = sorted(set(HourlyAttempts.objects.values_list("hour", flat=True)))
    assert len(hours) in (3, 4)  # the last attempt may have been given out before a full hour, and ended behind it
    assert hours[1] - hours[0] == pytest.approx(700, abs=1)
    assert HOURS_AT_ONCE < 700


def test_a_server_without_attempts_counts_nothing() -> None:
    assert count_hours() == 0
    assert HourlyAttempts.objects.count() == 0


def test_numbers_of_a_hostile_report_are_bounded() -> None:
    submit()
    given = leased()
    odd = [
        Transfer("x", url, 2**62, "", 1e300) for url in ("root://", "root://\u202e\x1b[31m//x", "gopher://h/x", None)
    ]
    odd += [Transfer("x", f"root://h{number}//x", 1, "", 1.0) for number in range(100)]
    report = report_of(given, cause="crash", action="retry")
    verdict = replace(report.verdict, counters={"events_processed": 1e308})
    usage = Usage(wall_s=-1.0, cpu_s=1e308, peak_memory_mb=1e308)
    send(given, replace(report, usage=usage, verdict=verdict, inputs=tuple(odd)))
    count_all()
    row = HourlyAttempts.objects.get(state="failed")
    assert (row.wall_s, row.cpu_s, row.events) == (0.0, 1e15, 10**15)
    assert HourlyTransfers.objects.count() == 8


def test_labels_of_a_task_are_of_its_parameters() -> None:
    submit(parameters={"production": "prod", "path": "generalprod/", "soft": "soft", "year": 2016, "period": "W14"})
    submit([raw(1, 2)], name="t2")
    rows = Task.objects.order_by("pk").values_list("year", "period", "submitter")
    assert list(rows) == [(2016, "W14", "tester"), (2016, "", "tester")]
