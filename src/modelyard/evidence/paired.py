"""Two models on the same rows: Tango's interval for right and wrong, the paired bootstrap for any other metric.

The letters of every paired table here: `b` rows that the reference got right and the candidate wrong, `c` the
opposite, `n` all rows. (b - c) / n is the drop in accuracy from the reference to the candidate; a negative one is
a gain. SciPy is loaded where it is used: `check`, which asks for sample sizes only, starts a second sooner.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelyard.evidence.interval import Z_95, Interval

POWER = 0.8  # the customary one: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, section 2.4
MAX_ROWS = 10_000_000  # a test set beyond this is no advice
RESAMPLES = 9_999  # SciPy's default: the Monte Carlo error of an end is then about 1% of its distance
BOOTSTRAP_CELLS = 2_000_000  # numbers resampled at once: 16 MB per array


class PairedCount(NamedTuple):
    """Discordant rows of two models: `tango(*drop(reference, candidate))`.

    Attributes:
        b: rows where the reference is right and the candidate wrong.
        c: rows where the candidate is right and the reference wrong.
        n: all rows.
    """

    b: int
    c: int
    n: int


def drop(reference_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_]) -> PairedCount:
    """Count the discordant rows.

    Args:
        reference_right: shape (rows,), whether the reference's label is right.
        candidate_right: shape (rows,), the same rows in the same order for the candidate.

    Raises:
        ValueError: the shapes differ.
    """
    reference, candidate = np.asarray(reference_right, dtype=bool), np.asarray(candidate_right, dtype=bool)
    if reference.shape != candidate.shape or reference.ndim != 1:
        raise ValueError(f"paired rows need one shape (rows,), not {reference.shape} and {candidate.shape}")
    return PairedCount(
        b=int(np.count_nonzero(reference & ~candidate)),
        c=int(np.count_nonzero(candidate & ~reference)),
        n=reference.size,
    )


def tango(b: int, c: int, n: int) -> Interval:
    """Tango's (1998) score interval for the drop (b - c) / n, unit `fraction`, two-sided 95%.

    Equivalence test and confidence interval for the difference in proportions for the paired-sample design,
    Statistics in Medicine 17: 891-908. The interval is every difference that the score test does not reject.

    Args:
        b: rows that only the reference got right.
        c: rows that only the candidate got right.
        n: all rows, at least 1 and at least b + c.

    Raises:
        ValueError: the counts are no paired table.
    """
    if b < 0 or c < 0 or n < 1 or b + c > n:
        raise ValueError(f"b={b}, c={c}, n={n} is no paired table: it needs b, c >= 0, n >= 1 and b + c <= n")
    low, high = tango_ends(b, c, n, Z_95)
    return Interval(low=low, estimate=(b - c) / n, high=high, n=n, unit="fraction", method="tango")


def tango_ends(b: int, c: int, n: int, z: float) -> tuple[float, float]:
    """Both ends of Tango's interval at the normal quantile `z`; arguments as in `tango`, unchecked."""
    return -_upper_end(c, b, n, z), _upper_end(b, c, n, z)


def samples_for_drop(b: int, c: int, n: int, limit_value: float) -> int | None:
    """Smallest n at which a true drop of zero passes `drop <= limit_value` with 80% power.

    The discordance is held at what was observed, (b + c) / n, half of it either way. The power is exact: binomial
    sums over the discordant rows, no normal approximation. Counts are whole, so the power rises with n in saw teeth:
    the n found by bisection reaches 80% where n - 1 does not, but another such n may lie up to 1% of the rows below
    it, and just above it the power may dip again by up to 3 points.

    Without a discordant row the discordance is not known to be zero: the answer is then the n that passes with no
    discordant row, `rows_to_pass_without_discordance`, a lower bound.

    Args:
        b: rows that only the reference got right.
        c: rows that only the candidate got right.
        n: all rows.
        limit_value: largest drop allowed, as a fraction.

    Returns:
        Rows; None where no n up to 10,000,000 is enough, as with a limit of zero.
    """
    if b + c == 0:
        return rows_to_pass_without_discordance(limit_value)
    return _first_with_power((b + c) / n, limit_value)


def rows_to_pass_without_discordance(limit_value: float) -> int | None:
    """Smallest n that passes `drop <= limit_value` when not one row is discordant.

    Tango's upper end is then z^2 / (n + z^2). No slice smaller than this can pass, whatever the candidate.

    Returns:
        Rows, at least 1; None where the limit is zero or less, or more than 10,000,000 rows are needed.
    """
    if limit_value <= 0.0:
        return None
    rows = max(1, math.ceil(Z_95**2 * (1.0 - limit_value) / limit_value))
    return rows if rows <= MAX_ROWS else None


def bca(
    values_a: NDArray[np.float64],
    values_b: NDArray[np.float64],
    statistic: Callable[..., Any],
    seed: int,
    *,
    unit: str = "fraction",
) -> Interval:
    """Paired BCa bootstrap interval of `statistic(a) - statistic(b)`: rows are drawn jointly.

    Efron (1987), Better bootstrap confidence intervals, JASA 82: 171-185, as SciPy computes it; 9,999 resamples.
    Where the bias or the acceleration is undefined (ties everywhere) the percentile interval takes its place, and
    where every resample gives one number the width is zero. The ends are widened to the estimate where they miss it.

    Args:
        values_a: shape (rows,), one number per row.
        values_b: shape (rows,), the same rows in the same order.
        statistic: takes an array and the keyword `axis`, like `numpy.mean`.
        seed: of the resampling.
        unit: unit of the statistic.

    Raises:
        ValueError: the shapes differ, or there are fewer than 2 rows.
    """
    from scipy.stats import DegenerateDataWarning, bootstrap

    a, b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size < 2:
        raise ValueError(f"a paired bootstrap needs one shape (rows,) of 2 rows or more, not {a.shape} and {b.shape}")

    def difference(one: NDArray[np.float64], other: NDArray[np.float64], axis: int = -1) -> Any:  # noqa: ANN401
        return statistic(one, axis=axis) - statistic(other, axis=axis)

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)  # its answer is NaN, handled below
        result = bootstrap(
            (a, b),
            difference,
            paired=True,
            method="BCa",
            n_resamples=RESAMPLES,
            batch=max(1, BOOTSTRAP_CELLS // a.size),
            rng=np.random.default_rng(seed),
        )
    estimate, ends, method = float(difference(a, b)), np.asarray(result.confidence_interval), "bca"
    if not np.isfinite(ends).all():
        ends, method = np.quantile(result.bootstrap_distribution, (0.025, 0.975)), "bootstrap-percentile"
    return Interval(
        low=min(estimate, float(ends[0])),
        estimate=estimate,
        high=max(estimate, float(ends[1])),
        n=a.size,
        unit=unit,
        method=method,
    )


def _upper_end(b: int, c: int, n: int, z: float) -> float:
    """The difference above (b - c) / n at which the score test just rejects.

    The test statistic falls strictly from the estimate to 1 wherever the variance is above zero, so the sign of
    `gap` differs at the two ends of the bracket and the search cannot fail. The variance is zero only in the two
    cases answered in closed form.
    """
    from scipy.optimize import bisect

    spread = z * z / n
    if b + c == 0:
        return spread / (1.0 + spread)
    if b == n:
        return 1.0
    if c == n:
        return -(1.0 - spread) / (1.0 + spread)
    share_b, share_c = b / n, c / n
    estimate = share_b - share_c

    def gap(delta: float) -> float:
        return float((estimate - delta) ** 2 - spread * _variance(share_b, share_c, delta))

    return float(bisect(gap, estimate, 1.0, xtol=1e-15))  # 51 halvings at most


def _variance(share_b: float, share_c: float, delta: float) -> float:
    """Variance of one row's difference under the hypothesis that the drop is `delta`, Tango's equation for q21."""
    if delta < 0.0:  # the table mirrored: no cancellation under the root
        share_b, share_c, delta = share_c, share_b, -delta
    return float(_variance_above_zero(np.float64(share_b), np.float64(share_c), delta))


def _variance_above_zero(share_b: Any, share_c: Any, delta: float) -> Any:  # noqa: ANN401  (scalars or arrays)
    linear = (2.0 - share_b + share_c) * delta - share_b - share_c
    only_candidate = (np.sqrt(linear**2 + 8.0 * share_c * delta * (1.0 - delta)) - linear) / 4.0
    return 2.0 * only_candidate + delta * (1.0 - delta)


def _first_with_power(discordance: float, limit_value: float) -> int | None:
    low = rows_to_pass_without_discordance(limit_value)
    if low is None:
        return None
    high = low
    while _power(high, discordance, limit_value) < POWER:
        if high == MAX_ROWS:
            return None
        low, high = high, min(2 * high, MAX_ROWS)
    while high - low > 1:
        middle = (low + high) // 2
        if _power(middle, discordance, limit_value) < POWER:
            low = middle
        else:
            high = middle
    return high


def _power(n: int, discordance: float, limit_value: float) -> float:
    """Chance that n rows pass when each is discordant with this chance, either way alike.

    Sums over the number m of discordant rows (those beyond 1e-9 of either tail left out) the chance of at most
    `most` of them falling to the reference, `most` being the largest b that passes.
    """
    from scipy.stats import binom

    m = np.arange(binom.ppf(1e-9, n, discordance), binom.ppf(1.0 - 1e-9, n, discordance) + 1.0)
    most = _largest_passing_b(m, n, limit_value)
    return float(np.sum(binom.pmf(m, n, discordance) * binom.cdf(most, m, 0.5)))


def _largest_passing_b(m: NDArray[np.float64], n: int, limit_value: float) -> NDArray[np.float64]:
    """For each number of discordant rows the largest b with Tango's upper end within the limit, -1 where none is."""
    low, high = np.full_like(m, -1.0), m.copy()
    while (low < high).any():
        middle = np.ceil((low + high) / 2.0)
        passes = _passes(middle, m - middle, n, limit_value)
        low, high = np.where(passes, middle, low), np.where(passes, high, middle - 1.0)
    return low


def _passes(b: NDArray[np.float64], c: NDArray[np.float64], n: int, limit_value: float) -> NDArray[np.bool_]:
    """Whether Tango's upper end lies within the limit, without searching for it: the score test rejects there."""
    distance = limit_value - (b - c) / n
    rejects = distance**2 >= Z_95**2 / n * _variance_above_zero(b / n, c / n, limit_value)
    return np.asarray((distance >= 0.0) & rejects)
