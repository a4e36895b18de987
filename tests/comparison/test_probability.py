from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pilotext.comparison.contents import Histogram, Numbers
from pilotext.comparison.probability import chi2_p_value, ks_p_value

SAMPLES = 300


def histogram(values: Numbers, variances: Numbers | None = None) -> Histogram:
    edges = np.linspace(0.0, 1.0, len(values) - 1)
    return Histogram((edges,), values, values if variances is None else variances, float(values.sum()))


def filled(chance: np.random.Generator, events: int, power: float = 1.0, *, weight: float = 1.0) -> Histogram:
    """A histogram of 20 bins and two that are empty, of numbers that are even for the power 1."""
    counts = np.histogram(chance.random(events) ** power, bins=20, range=(0, 1))[0].astype(np.float64)
    values = np.concatenate([[0.0], counts, [0.0]])
    return histogram(weight * values, weight**2 * values)


@pytest.mark.parametrize(("sizes", "weight"), [((3000, 1000), 1.0), ((30_000, 20_000), 0.3)])
def test_chi_square_is_even_for_samples_of_one_distribution_whatever_their_sizes(
    sizes: tuple[int, int], weight: float
) -> None:
    chance = np.random.default_rng(5)
    found = [chi2_p_value(filled(chance, sizes[0]), filled(chance, sizes[1], weight=weight)) for _ in range(SAMPLES)]
    numbers = [each for each in found if each is not None]
    assert len(numbers) == SAMPLES
    assert stats.kstest(numbers, "uniform").pvalue > 0.01


def test_chi_square_of_counts_is_that_of_a_contingency_table() -> None:
    chance = np.random.default_rng(6)
    old, new = filled(chance, 500), filled(chance, 900, 1.1)
    table = np.vstack([old.values[1:-1], new.values[1:-1]])
    assert chi2_p_value(old, new) == pytest.approx(stats.chi2_contingency(table).pvalue, rel=1e-9)


@pytest.mark.parametrize("test", [chi2_p_value, ks_p_value])
def test_another_distribution_is_improbable(test: type[object]) -> None:
    chance = np.random.default_rng(7)
    p_value = test(filled(chance, 3000), filled(chance, 3000, 1.4))  # type: ignore[call-arg]
    assert isinstance(p_value, float)
    assert p_value < 1e-6


def test_kolmogorov_and_smirnov_give_what_scipy_gives_for_unbinned_numbers() -> None:
    chance = np.random.default_rng(8)
    first, second = (np.floor(chance.random(size) * 1000) / 1000 for size in (400, 700))
    old, new = (
        histogram(np.concatenate([[0], np.histogram(each, bins=1000, range=(0, 1))[0], [0]]).astype(np.float64))
        for each in (first, second)
    )
    expected = stats.ks_2samp(first, second, method="asymp").pvalue
    assert ks_p_value(old, new) == pytest.approx(expected, abs=0.02)


def test_the_overflow_is_a_bin_like_others() -> None:
    inside = np.concatenate([[0.0], np.full(20, 50.0), [0.0]])
    beyond = inside.copy()
    beyond[-1] = 500.0
    p_value = chi2_p_value(histogram(inside), histogram(beyond))
    assert p_value is not None
    assert p_value < 1e-6


def test_nothing_is_said_of_empty_histograms_and_of_single_bins() -> None:
    empty, single = np.zeros(22), np.zeros(22)
    single[3] = 100.0
    full = np.full(22, 10.0)
    assert chi2_p_value(histogram(empty), histogram(full)) is None
    assert ks_p_value(histogram(empty), histogram(full)) is None
    assert chi2_p_value(histogram(single), histogram(2 * single)) is None


def test_kolmogorov_and_smirnov_are_not_for_several_axes() -> None:
    edges = np.linspace(0.0, 1.0, 5)
    values = np.full((6, 6), 3.0)
    plane = Histogram((edges, edges), values, values, float(values.sum()))
    assert ks_p_value(plane, plane) is None
    assert chi2_p_value(plane, plane) == 1.0
