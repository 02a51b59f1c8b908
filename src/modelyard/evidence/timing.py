"""Times: the ratio of interleaved runs, medians and percentiles, all by order statistics.

An order-statistic interval assumes nothing about the shape of the times, has at least the coverage it states at every
n, and needs no random numbers. Bootstrapping a median approximates it from below: the percentile bootstrap of a
median is an order-statistic interval with binomial weights, and BCa's acceleration, a jackknife, does not exist for a
median (Efron and Tibshirani (1993), An Introduction to the Bootstrap, sections 10.6 and 14.3).
Source of the interval: David and Nagaraja (2003), Order Statistics, 3rd edition, section 7.1.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelyard.evidence.interval import RANGE, Interval

Times = Sequence[float] | NDArray[np.float64]


def time_ratio(times_a: Times, times_b: Times) -> Interval:
    """Median of the ratios a / b of runs taken side by side, unit `ratio`; below 1 means that `a` is faster.

    The two are run alternately and paired by round, so that what slows the machine for a while slows both. Fewer than
    6 rounds cannot give a 95% interval (`percentile_interval`).

    Args:
        times_a: shape (rounds,), all in one unit, above zero.
        times_b: shape (rounds,), the same rounds.

    Raises:
        ValueError: the rounds do not match, there is none, or a time is not above zero.
    """
    a, b = np.asarray(times_a, dtype=np.float64), np.asarray(times_b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"interleaved times need one shape (rounds,), not {a.shape} and {b.shape}")
    if not ((a > 0.0) & (b > 0.0)).all():
        raise ValueError("a time that is not above zero was not measured")
    return _order_statistics(a / b, 50.0, "ratio")


def median_interval(times_ms: Times) -> Interval:
    """The median and its order-statistic interval, unit `ms`; 6 times or more, else a range."""
    return percentile_interval(times_ms, 50.0)


def percentile_interval(times_ms: Times, percent: float) -> Interval:
    """A percentile and its order-statistic interval, unit `ms`.

    Where n is too small for an order statistic that bounds the percentile with 97.5% confidence on one side (n below
    6 for the median, below 72 for the 95th, below 368 for the 99th), the smallest or largest time stands there, the
    method is `range` instead of `order-statistics`, and `judge` calls it INCONCLUSIVE: nobody knows the tail of what
    was hardly sampled.

    Args:
        times_ms: shape (runs,), in milliseconds.
        percent: between 0 and 100, such as 95.

    Raises:
        ValueError: there is no time.
    """
    return _order_statistics(np.asarray(times_ms, dtype=np.float64), percent, "ms")


def _order_statistics(values: NDArray[np.float64], percent: float, unit: str) -> Interval:
    """The interval between the order statistics whose ranks bound a Binomial(n, percent) in 2.5% on either side."""
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"an interval of times needs the shape (runs,) with at least 1 run, not {values.shape}")
    from scipy.stats import binom  # a second to load, and most who import this module time nothing

    n, share = values.size, percent / 100.0
    ordered = np.sort(values)
    low_rank, high_rank = int(binom.ppf(0.025, n, share)), int(binom.ppf(0.975, n, share)) + 1
    bounded = low_rank >= 1 and high_rank <= n
    return Interval(
        low=float(ordered[max(low_rank, 1) - 1]),
        estimate=float(np.quantile(ordered, share)),
        high=float(ordered[min(high_rank, n) - 1]),
        n=n,
        unit=unit,
        method="order-statistics" if bounded else RANGE,
    )
