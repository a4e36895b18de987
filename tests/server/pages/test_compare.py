"""Comparison of two attempts, or of one with the last good one of its kind."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from msgspec.structs import replace  # noqa: E402  needs boot

from pilotext.model.report import PhaseRecord, Usage  # noqa: E402
from pilotext.server.production.models import Attempt, Job  # noqa: E402
from pilotext.server.times import EPOCH  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.pages.test_job import fail_wholly  # noqa: E402
from tests.server.support import leased, raw, report_of, send, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")


def succeed_with(memory_mb: float) -> int:
    given = leased("wn7")
    phases = (PhaseRecord("stage-in", 0.0, 31.0, "done"), PhaseRecord("payload", 31.0, 300.0, "done"))
    usage = Usage(wall_s=300.0, cpu_s=290.0, peak_memory_mb=memory_mb)
    send(given, replace(report_of(given, host="wn7"), phases=phases, usage=usage))
    return given.job.job


def rows_of(text: str) -> dict[str, tuple[str, str, bool]]:
    found = re.findall(
        r"<tr( class=\"chosen\")?><td[^>]*>.*?</td><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", text
    )
    return {words: (left, right, bool(differs)) for differs, words, left, right in found}


def compared(job: int, **query: str | int) -> str:
    answer = browser("viewer").get(f"/jobs/{job}/compare", query)
    assert answer.status_code == 200
    return text_of(answer)


def test_a_failure_stands_beside_the_last_good_job_of_its_kind() -> None:
    submit([raw(7, 1), raw(7, 2)])
    job = fail_wholly()
    good = succeed_with(1250.0)
    text = compared(job, a=1)
    assert f"Job {good}, attempt 1" in text
    rows = rows_of(text)
    assert rows["State"] == ("failed", "finished", True)
    assert rows["Site"][2] is False
    assert rows["Peak memory"] == ("1.3 GB", "1.25 GB", False)  # within a tenth
    assert rows["Wall time"] == ("60 s", "0:05:00 h", True)
    assert rows["payload"] == ("70 s failed", "0:05:00 h", True)
    assert rows["stage-in"] == ("30 s", "31 s", False)
    assert rows["events_processed"] == ("60", "90", True)
    assert rows["raw_events"] == ("100", "\u2013", True)


def test_two_attempts_of_a_job_are_compared() -> None:
    submit()
    job = fail_wholly()
    Job.objects.update(state="ready", not_before=EPOCH)
    assert fail_wholly() == job
    rows = rows_of(compared(job, a=2, b=1))
    assert rows["Verdict"] == ("COMPASS-1235", "COMPASS-1235", False)


def test_without_a_good_job_there_is_nothing_to_compare_with() -> None:
    submit([raw(7, 1), raw(7, 2)])
    assert "No other job of this kind has succeeded" in compared(fail_wholly(), a=1)


def test_an_attempt_without_a_report_is_compared_as_far_as_it_is_known() -> None:
    submit([raw(7, 1), raw(7, 2)])
    good = succeed_with(1000.0)
    given = leased("wn9")
    rows = rows_of(compared(given.job.job, a=1))
    assert rows["Node"] == ("wn9", "wn7", True)
    assert rows["Wall time"] == ("\u2013", "0:05:00 h", True)
    assert rows_of(compared(good, a=1, b=1))["Node"][2] is False


@pytest.mark.parametrize("query", [{}, {"a": "x"}, {"a": 9}, {"a": 1, "b": 9}, {"a": 1, "b": "-1"}, {"a": "9" * 30}])
def test_what_there_is_not_is_not_compared(query: dict[str, str | int]) -> None:
    submit()
    assert browser("viewer").get(f"/jobs/{fail_wholly()}/compare", query).status_code == 404


def test_hostile_texts_stay_texts() -> None:
    submit([raw(7, 1), raw(7, 2)])
    job = fail_wholly()
    succeed_with(1.0)
    Attempt.objects.update(node=HOSTILE, cause=HOSTILE, rule=HOSTILE)
    assert_harmless(compared(job, a=1))
