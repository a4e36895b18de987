"""Drawings: the phases of an attempt, and the curves of its resources."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from pilotext.model.job import JobIdentity  # noqa: E402  needs boot
from pilotext.model.report import PhaseRecord, Report, Series, Transfer, Try, Usage  # noqa: E402
from pilotext.model.verdict import Finding, Verdict  # noqa: E402
from pilotext.server.pages.charts import HEIGHT, MAX_ROWS, WIDTH, resource_curves, sample_rows, time_line  # noqa: E402

pytestmark = pytest.mark.unit


def report(*phases: PhaseRecord, **fields: object) -> Report:
    identity = JobIdentity("COMPASS", "mass production", "reconstruction", "t1", 1, 1, None, 1, 1)
    plain = {"pilotext": "1", "job": identity, "state": "done", "phase": "report", "exit_status": 0, "started": 1.0}
    return Report(**plain, verdict=Verdict("success"), phases=phases, **fields)  # type: ignore[arg-type]


def test_phases_have_their_place_in_time_and_those_that_were_skipped_have_none() -> None:
    bars = time_line(
        report(
            PhaseRecord("stage-in", 100.0, 25.0, "done"),
            PhaseRecord("payload", 125.0, 75.0, "failed"),
            PhaseRecord("stage-out", 200.0, None, "skipped"),
        )
    )
    assert [(bar.phase.name, bar.x, bar.width, bar.tone) for bar in bars] == [
        ("stage-in", 0.0, 25.2, "good"),
        ("payload", 25.2, 74.8, "bad"),
    ]
    assert time_line(report()) == ()


def test_a_short_phase_can_be_seen_and_nothing_is_outside_of_the_drawing() -> None:
    bars = time_line(report(PhaseRecord("payload", 0.0, 1e6, "done"), PhaseRecord("report", 1e6, None, "running")))
    assert all(bar.width >= 0.4 and bar.x + bar.width <= 100.01 for bar in bars)


def test_a_clock_that_was_set_back_draws_no_negative_widths() -> None:
    bars = time_line(report(PhaseRecord("stage-in", 500.0, 10.0, "done"), PhaseRecord("payload", 100.0, 5.0, "done")))
    assert [(bar.x >= 0, bar.x + bar.width <= 100.01) for bar in bars] == [(True, True)] * 2


def test_failed_transfers_and_findings_stand_at_their_phase() -> None:
    moved = Transfer("raw", "root://a/b", 1, "0", 1.0, (Try("root://a/b", "unreachable", "no", 1.0),) * 2)
    found = Finding("raw-truncated", "it ends", "validate")
    bars = time_line(
        report(
            PhaseRecord("stage-in", 0.0, 1.0, "done"),
            PhaseRecord("validate", 1.0, 1.0, "failed"),
            inputs=(moved,),
            findings=(found,),
        )
    )
    assert [bar.notes for bar in bars] == ["2 failed transfers", "raw-truncated"]


def usage(number: int) -> Usage:
    at = tuple(float(second) for second in range(number))
    return Usage(series=Series(at, tuple(second / 2 for second in at), tuple(1000.0 + second for second in at)))


def test_a_curve_has_its_limit_and_both_in_words() -> None:
    memory, cpu = resource_curves(usage(100), 2198.0, 5000.0)
    assert (memory.name, memory.words) == ("Memory", "peak 1.099 GB of 2.198 GB, 50%")
    assert memory.limit_y is not None
    assert 0 < memory.limit_y < HEIGHT / 2
    assert (cpu.words, cpu.limit_y) == ("peak 0.50", None)


def test_a_curve_stays_in_its_frame_whatever_the_number_of_samples() -> None:
    for number in (2, 149, 150, 151, 1000):
        for curve in resource_curves(usage(number), 10.0, None):
            points = re.findall(r"[ML](\S+) (\S+?)(?=L|$)", curve.path)
            assert 2 <= len(points) <= 150
            assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)


@pytest.mark.parametrize(
    "series", [Series(), Series((1.0,), (1.0,), (1.0,)), Series((5.0, 5.0), (1.0, 1.0), (1.0, 2.0))]
)
def test_what_was_not_sampled_twice_has_no_curves(series: Series) -> None:
    assert resource_curves(Usage(series=series), 100.0, None) == ()


def test_columns_of_other_lengths_break_nothing() -> None:
    series = Series((0.0, 1.0, 2.0), (0.0,), (1.0, 2.0), (), (), (), (5.0, 6.0, 7.0))
    assert [curve.name for curve in resource_curves(Usage(series=series), None, None)] == [
        "Memory",
        "Disk of the work directory",
    ]
    assert [row.memory for row in sample_rows(series)] == ["1 MB", "2 MB", ""]


def test_the_table_has_few_rows_and_ends_with_the_last_sample() -> None:
    for number in (2, 13, 14, 500):
        rows = sample_rows(usage(number).series)
        assert 2 <= len(rows) <= MAX_ROWS + 1
        assert rows[0].memory == "1 GB"
        assert rows[-1].memory != rows[0].memory
    assert sample_rows(Series()) == ()
