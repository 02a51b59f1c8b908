"""Two sets of rows, one column: how far apart their distributions are, with a 95% interval.

`old` and `new` are counts over the same cells: distinct values in rising order for numbers (`on_shared_values`), kinds
for categories. The rows of a side are taken as drawn independently; sides that share rows differ less by chance than
that, so that the intervals are then wider than they need be.

Every function also gives the rows at which two sets without any difference would pass the limit four times out of five
(`POWER`), on either side; None where no number up to 10,000,000 is enough.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, chndtrinc, kolmogi

from modelyard.evidence.interval import Interval
from modelyard.evidence.paired import MAX_ROWS, POWER

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]

RESAMPLES = 999
MAX_CELLS = 1_000
"""Of the grid on which the noise of the Wasserstein distance is resampled; the distance itself is exact."""
TINY = 1e-9
"""SciPy gives a number of this kind where no noncentrality is small enough."""


class Measured(NamedTuple):
    """A distance, and the rows on each side at which two equal sets would pass its limit with 80% power."""

    interval: Interval
    rows_needed: int | None


def on_shared_values(old: Numbers, new: Numbers) -> tuple[Numbers, Counts, Counts]:
    """The distinct values of both sides in rising order, and how often each side has each of them.

    Args:
        old: shape (rows of OLD,), finite.
        new: shape (rows of NEW,), finite.
    """
    values, places = np.unique(np.concatenate([old, new]), return_inverse=True)
    return (
        values,
        np.bincount(places[: old.size], minlength=values.size),
        np.bincount(places[old.size :], minlength=values.size),
    )


def gap_at(old: Counts, new: Counts) -> int:
    """The cell up to which the shares of the two sides differ most: where the Kolmogorov-Smirnov distance is found."""
    return int(np.argmax(np.abs(_shares_up_to(old) - _shares_up_to(new))))


def kolmogorov_smirnov(old: Counts, new: Counts, limit_value: float) -> Measured:
    """The largest difference between the two distribution functions, unit `fraction`.

    The ends are the distance plus and minus 1.358 sqrt(1 / rows of OLD + 1 / rows of NEW), the 95th percentile of
    Kolmogorov's law (Smirnov 1948, Table for estimating the goodness of fit of empirical distributions, Annals of
    Mathematical Statistics 19: 279-281). The noise of the difference follows it where both sides have one distribution
    and is smaller everywhere else: with an independent normal process along the difference added it would follow it,
    and such an addition only widens (Anderson 1955, The integral of a symmetric unimodal function over a symmetric
    convex set, Proceedings of the AMS 6: 170-176). By the triangle inequality the distance is never further off than
    that noise. Ties make it smaller still.

    Args:
        old: shape (cells,), in the order of the values.
        new: the same cells.
        limit_value: largest distance allowed.

    Raises:
        ValueError: the cells differ, or a side has no row.
    """
    rows_old, rows_new = _rows(old, new)
    distance = float(np.abs(_shares_up_to(old) - _shares_up_to(new)).max())
    usual, reach = (float(kolmogi(chance)) for chance in (1.0 - POWER, 0.05))
    interval = _around(
        distance,
        reach * math.sqrt(1.0 / rows_old + 1.0 / rows_new),
        min(rows_old, rows_new),
        "fraction",
        "kolmogorov",
        1.0,
    )
    return Measured(interval, _rows_to(math.sqrt(2.0) * (usual + reach), limit_value))


def wasserstein(values: Numbers, old: Counts, new: Counts, scale: float, limit_value: float, seed: int) -> Measured:
    """The area between the two distribution functions over `scale`, unit `ratio`.

    With the standard deviation of OLD as scale it is free of the column's unit, and for a pure shift it is Cohen's d.
    The ends are the distance plus and minus the 95th percentile of the area under the noise: how far the difference of
    two resampled distribution functions lies from the one observed (the bootstrap of the empirical process; del Barrio,
    Gine and Matran 1999, Central limit theorems for the Wasserstein distance, Annals of Probability 27: 1009-1071, for
    when it has a limit). By the triangle inequality the distance itself is never further off than that noise, also
    where it is zero and the ordinary bootstrap fails.

    Args:
        values: of the cells, rising, shape (cells,).
        old: shape (cells,).
        new: the same cells.
        scale: above zero, in the unit of the values.
        limit_value: largest ratio allowed.
        seed: of the resampling.

    Raises:
        ValueError: the cells differ, or a side has no row.
    """
    rows_old, rows_new = _rows(old, new)
    area = float(np.abs(_shares_up_to(old) - _shares_up_to(new))[:-1] @ np.diff(values))
    noise = _noise(values, old, new, np.random.default_rng(seed))
    usual, reach = np.quantile(noise, (POWER, 0.95)) / scale
    per_root_row = float(usual + reach) / math.sqrt(0.5 / rows_old + 0.5 / rows_new)
    return Measured(
        _around(area / scale, float(reach), min(rows_old, rows_new), "ratio", "bootstrap-process", math.inf),
        _rows_to(per_root_row, limit_value),
    )


def population_stability_index(old: Counts, new: Counts) -> float:
    """The sum over cells of (new - old) ln(new / old), in shares; half a row is added to each cell of each side.

    The half keeps an empty cell finite: Haldane (1956), The estimation and significance of the logarithm of a ratio of
    frequencies, Annals of Human Genetics 20: 309-311.
    """
    share_old, share_new = ((counts + 0.5) / (counts.sum() + 0.5 * counts.size) for counts in (old, new))
    return float(((share_new - share_old) * np.log(share_new / share_old)).sum())


def stability_index(old: Counts, new: Counts, limit_value: float) -> Measured:
    """The population stability index with its interval, unit `ratio`.

    Without a change the index is (1 / rows of OLD + 1 / rows of NEW) times chi-squared (Yurdakul and Naranjo 2020,
    Statistical properties of the population stability index, Journal of Risk Model Validation 14), with one degree of
    freedom less than cells; with a change, times noncentral chi-squared. The ends are the noncentralities that leave
    2.5% on either side, and the estimate is the index less what chance alone gives.

    Args:
        old: shape (cells,).
        new: the same cells.
        limit_value: largest index allowed.

    Raises:
        ValueError: the cells differ, or a side has no row.
    """
    rows_old, rows_new = _rows(old, new)
    unit = 1.0 / rows_old + 1.0 / rows_new
    low, estimate, high = _noncentrality(population_stability_index(old, new) / unit, old.size - 1)
    interval = _noncentral_interval(unit * low, unit * estimate, unit * high, min(rows_old, rows_new))
    return Measured(interval, _rows_to_noncentral(old.size - 1, limit_value))


def chi_squared_effect(old: Counts, new: Counts, limit_value: float) -> Measured:
    """Cohen's w of the chi-squared statistic for "both sides have the same shares", unit `ratio`.

    w is the root of the sum of (new - old)^2 / pooled in shares, which is chi-squared times (1 / rows of OLD + 1 / rows
    of NEW): Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, section 7.2, who calls 0.1 small, 0.3
    medium, 0.5 large. Its ends come from noncentral chi-squared: Smithson (2003), Confidence Intervals, chapter 4.

    Args:
        old: shape (cells,), no cell empty on both sides.
        new: the same cells.
        limit_value: largest w allowed.

    Raises:
        ValueError: the cells differ, or a side has no row.
    """
    rows_old, rows_new = _rows(old, new)
    unit = 1.0 / rows_old + 1.0 / rows_new
    pooled = (old + new) / (rows_old + rows_new)
    statistic = float(((new / rows_new - old / rows_old) ** 2 / pooled).sum()) / unit
    low, estimate, high = (math.sqrt(unit * end) for end in _noncentrality(statistic, old.size - 1))
    interval = _noncentral_interval(low, estimate, high, min(rows_old, rows_new))
    return Measured(interval, _rows_to_noncentral(old.size - 1, limit_value * abs(limit_value)))


def _rows(old: Counts, new: Counts) -> tuple[int, int]:
    rows = int(old.sum()), int(new.sum())
    if old.shape != new.shape or old.ndim != 1 or min(rows) < 1:
        raise ValueError(
            f"a distance needs one shape (cells,) and a row on each side, not {old.shape}, {new.shape} with {rows} rows"
        )
    return rows


def _shares_up_to(counts: Counts) -> Numbers:
    return np.asarray(counts.cumsum() / counts.sum(), dtype=np.float64)


def _around(estimate: float, reach: float, n: int, unit: str, method: str, most: float) -> Interval:
    return Interval(
        low=max(0.0, estimate - reach),
        estimate=estimate,
        high=max(estimate, min(most, estimate + reach)),
        n=n,
        unit=unit,
        method=method,
    )


def _noise(values: Numbers, old: Counts, new: Counts, draw: np.random.Generator) -> Numbers:
    """Area between the observed difference of the distribution functions and resampled ones, shape (RESAMPLES,)."""
    places = _grid(values, old + new)
    moved = _resampled(old, places, draw) - _resampled(new, places, draw)
    return np.asarray(np.abs(moved)[:, :-1] @ np.diff(values[places]), dtype=np.float64)


def _resampled(counts: Counts, places: NDArray[np.int64], draw: np.random.Generator) -> Numbers:
    """Resampled distribution functions less the observed one, shape (RESAMPLES, places)."""
    rows, up_to = int(counts.sum()), counts.cumsum()[places]
    drawn = draw.multinomial(rows, np.diff(up_to, prepend=0) / rows, size=RESAMPLES).cumsum(axis=1)
    return np.asarray((drawn - up_to) / rows, dtype=np.float64)


def _grid(values: Numbers, pooled: Counts) -> NDArray[np.int64]:
    """All cells; where there are more than `MAX_CELLS`, half of them at equal shares of rows and half at equal steps.

    Equal shares alone would leave a long tail in one cell, equal steps alone the mass.
    """
    last = values.size - 1
    if last < MAX_CELLS:
        return np.arange(values.size)
    half = MAX_CELLS // 2
    by_share = np.searchsorted(pooled.cumsum(), np.linspace(0.0, pooled.sum(), half))
    by_step = np.searchsorted(values, np.linspace(values[0], values[-1], half))
    return np.unique(np.concatenate([by_share, by_step, [last]]))


def _noncentrality(statistic: float, freedom: int) -> tuple[float, float, float]:
    """Lower end, estimate and upper end of the noncentrality of chi-squared; zero where there is but one cell."""
    if freedom == 0:
        return 0.0, 0.0, 0.0
    low, high = (_noncentrality_at(statistic, freedom, chance) for chance in (0.975, 0.025))
    return low, min(max(statistic - freedom, low), high), high


def _noncentrality_at(statistic: float, freedom: int, chance: float) -> float:
    """The noncentrality at which noncentral chi-squared stays below the statistic with this chance; 0 if none is."""
    found = float(chndtrinc(statistic, freedom, chance))
    return found if found > TINY else 0.0


def _noncentral_interval(low: float, estimate: float, high: float, n: int) -> Interval:
    return Interval(low=low, estimate=estimate, high=high, n=n, unit="ratio", method="noncentral-chi2")


def _rows_to(per_root_row: float, limit_value: float) -> int | None:
    """Rows n at which `per_root_row / sqrt(n)` comes down to the limit."""
    return _within((per_root_row / limit_value) ** 2) if limit_value > 0.0 else None


def _rows_to_noncentral(freedom: int, limit_value: float) -> int | None:
    """Rows at which the upper end of a statistic at the 80th percentile of chi-squared comes down to the limit."""
    if limit_value <= 0.0:
        return None
    highest = _noncentrality(float(chdtri(freedom, 1.0 - POWER)), freedom)[2] if freedom else 0.0
    return _within(2.0 * highest / limit_value)


def _within(rows: float) -> int | None:
    return max(1, math.ceil(rows)) if rows <= MAX_ROWS else None
