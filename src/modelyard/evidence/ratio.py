"""A ratio of two sums over rows, as nats over tokens: rows differ in what they count."""

import math

import numpy as np
from numpy.typing import NDArray

from modelyard.evidence.interval import Interval


def ratio_of_sums(numerators: NDArray[np.float64], denominators: NDArray[np.float64], *, unit: str) -> Interval:
    """Interval of `sum(numerators) / sum(denominators)` over rows drawn at random, by linearisation.

    Cochran (1977), Sampling techniques, 3rd edition, equation 6.13 without its correction for a finite population: the
    variance of the ratio is that of the mean of `numerator - ratio * denominator`, over the squared mean denominator.
    With Student's quantile, because a slice may have few rows.

    Args:
        numerators: shape (rows,).
        denominators: shape (rows,), none below zero, their sum above it.
        unit: of the ratio.

    Returns:
        A `range` of no width where one row is all there is, or all have the same ratio: they tell nothing of others.
    """
    rows, total = len(numerators), float(denominators.sum())
    ratio = float(numerators.sum()) / total
    counted = denominators > 0.0
    alike = np.ptp(numerators[counted] / denominators[counted]) == 0.0 and not numerators[~counted].any()
    if rows < 2 or alike:
        return Interval(low=ratio, estimate=ratio, high=ratio, n=rows, unit=unit, method="range")
    from scipy.stats import t

    residuals = numerators - ratio * denominators
    error = math.sqrt(rows / (rows - 1) * float(np.square(residuals).sum())) / total
    reach = float(t.ppf(0.975, rows - 1)) * error
    return Interval(low=ratio - reach, estimate=ratio, high=ratio + reach, n=rows, unit=unit, method="linearised")
