"""Tests whether two histograms are of the same distribution, whatever their numbers of entries.

Two productions of the same raw files hold mostly the same events: their histograms agree better than those of
independent samples, for which these tests give the probability. A small one is therefore a sure sign of a difference.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, kolmogorov

from pilotext.comparison.contents import Histogram, Numbers


def chi2_p_value(old: Histogram, new: Histogram) -> float | None:
    """Return the probability of a larger chi-square; None where fewer than two bins are filled.

    Under- and overflow are bins like others. For weighted contents: sum of (W1 w2 - W2 w1)^2 / (W1^2 s2^2 + W2^2 s1^2)
    over the bins, with the sums of weights W and the variances s^2; for counts, the variance is the pooled one
    (N. Gagunashvili, "Comparison of weighted and unweighted histograms", arXiv:physics/0605123). With weights it
    holds for bins of a hundred entries or more.
    """
    filled = (old.variances + new.variances) > 0
    w1, w2, s1, s2 = (each[filled] for each in (old.values, new.values, old.variances, new.variances))
    sum1, sum2 = float(w1.sum()), float(w2.sum())
    if len(w1) < 2 or sum1 <= 0 or sum2 <= 0:
        return None
    counts = np.array_equal(w1, s1) and np.array_equal(w2, s2)
    variances = sum1 * sum2 * (w1 + w2) if counts else sum1**2 * s2 + sum2**2 * s1
    chi2 = float((((sum1 * w2 - sum2 * w1) ** 2) / variances).sum())
    return float(chdtrc(len(w1) - 1, chi2))


def ks_p_value(old: Histogram, new: Histogram) -> float | None:
    """Return the probability of a larger distance between the cumulative distributions (Kolmogorov and Smirnov).

    None for histograms of several axes, and for empty ones. The effective number of entries is (sum w)^2 / sum s^2.
    Bins of finite width make the test conservative.
    """
    if len(old.edges) != 1 or min(float(each.values.sum()) for each in (old, new)) <= 0:
        return None
    distance = float(np.abs(_cumulative(old.values) - _cumulative(new.values)).max())
    first, second = _effective_entries(old), _effective_entries(new)
    return float(kolmogorov(distance * np.sqrt(first * second / (first + second))))


def _cumulative(values: Numbers) -> Numbers:
    sums: Numbers = np.cumsum(values) / values.sum()
    return sums


def _effective_entries(histogram: Histogram) -> float:
    return float(histogram.values.sum()) ** 2 / float(histogram.variances.sum())


P_VALUES = {"chi2": chi2_p_value, "ks": ks_p_value}
