from __future__ import annotations

from pilotext.model.report import Series
from pilotext.worker.monitoring.monitor import MAX_SAMPLES, SeriesBuilder


def kept(memory: list[float]) -> SeriesBuilder:
    subreaper = SeriesBuilder()
    for number, value in enumerate(memory):
        zeros = dict.fromkeys(Series.__struct_fields__, 0)
        subreaper.add(**{**zeros, "at_s": float(number), "memory_mb": value})
    return subreaper


def test_few_samples_are_all_kept() -> None:
    series = kept([1.0, 2.0, 3.0]).series()
    assert series.memory_mb == (1.0, 2.0, 3.0)
    assert series.at_s == (0.0, 1.0, 2.0)


def test_many_are_thinned_over_the_whole_time_and_the_peak_stays() -> None:
    memory = [100.0] * 100_000
    memory[77_777] = 900.0
    series = kept(memory).series()
    assert len(series.at_s) <= MAX_SAMPLES
    assert len(series.at_s) >= MAX_SAMPLES // 2 - 1
    assert list(series.at_s) == sorted(series.at_s)
    assert series.at_s[-1] > 99_000
    assert max(series.memory_mb) == 900.0


def test_the_last_samples_are_there_though_their_turn_has_not_come() -> None:
    series = kept([1.0] * (4 * MAX_SAMPLES) + [5.0]).series()
    assert series.memory_mb[-1] == 5.0


def test_the_average_is_of_all_samples_and_not_of_those_kept() -> None:
    assert kept([100.0] * 3000 + [200.0] * 1000).average_memory_mb == 125.0
    assert SeriesBuilder().average_memory_mb == 0.0
