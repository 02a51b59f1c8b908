"""Distances pinned to SciPy and to hand calculations, intervals to their definitions and to simulated coverage."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from modelyard.evidence.distance import (
    MAX_CELLS,
    Measured,
    chi_squared_effect,
    gap_at,
    kolmogorov_smirnov,
    on_shared_values,
    population_stability_index,
    stability_index,
    wasserstein,
)
from modelyard.evidence.interval import at_most
from modelyard.evidence.judge import judge

Counts = NDArray[np.int64]


def counts(*values: int) -> Counts:
    return np.array(values, dtype=np.int64)


def drawn(seed: int, rows: int = 400, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).lognormal(4.0 + shift, 1.0, rows).round()


def ks(old: NDArray[np.float64], new: NDArray[np.float64], limit: float = 0.1) -> Measured:
    return kolmogorov_smirnov(*on_shared_values(old, new)[1:], limit)


def moved(old: NDArray[np.float64], new: NDArray[np.float64], limit: float = 0.2, seed: int = 0) -> Measured:
    return wasserstein(*on_shared_values(old, new), float(old.std()), limit, seed)


def test_values_of_both_sides_in_one_order() -> None:
    values, old, new = on_shared_values(np.array([3.0, 1.0, 3.0]), np.array([2.0, 3.0]))
    assert (values.tolist(), old.tolist(), new.tolist()) == ([1.0, 2.0, 3.0], [1, 0, 2], [0, 1, 1])


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_distances_as_scipy_has_them(shift: float) -> None:
    old, new = drawn(1, 300), drawn(2, 500, shift)
    assert ks(old, new).interval.estimate == pytest.approx(stats.ks_2samp(old, new).statistic, abs=1e-12)
    expected = stats.wasserstein_distance(old, new) / old.std()
    assert moved(old, new).interval.estimate == pytest.approx(expected, rel=1e-12)


def test_where_the_gap_is() -> None:
    # up to 2: 0.5 of OLD, 0.9 of NEW
    assert gap_at(counts(3, 2, 5), counts(3, 6, 1)) == 1
    assert kolmogorov_smirnov(counts(3, 2, 5), counts(3, 6, 1), 0.1).interval.estimate == pytest.approx(0.4)


def test_the_noise_of_kolmogorovs_law_by_hand() -> None:
    # Smirnov's table: 1.3581 is exceeded in 5%
    found = kolmogorov_smirnov(counts(400, 500), counts(200, 200), 0.1).interval
    reach = 1.3580986 * math.sqrt(1 / 900 + 1 / 400)
    assert found.estimate == pytest.approx(1 / 18)
    assert (found.low, found.high) == pytest.approx((0.0, 1 / 18 + reach), abs=1e-6)
    assert (found.n, found.unit, found.method) == (400, "fraction", "kolmogorov")
    far = kolmogorov_smirnov(counts(900, 0), counts(0, 400), 0.1).interval
    assert (far.low, far.estimate, far.high) == pytest.approx((1 - reach, 1.0, 1.0), abs=1e-6)


def test_the_rows_that_two_equal_sets_need_to_pass() -> None:
    # sqrt(2) times the sum of the 80th and the 95th percentile of Kolmogorov's law, 1.072749 and 1.358099, over 0.1
    needed = kolmogorov_smirnov(counts(5, 5), counts(5, 5), 0.1).rows_needed
    assert needed == math.ceil(2 * ((1.0727492 + 1.3580986) / 0.1) ** 2) == 1182
    assert stats.kstwobign.sf([1.0727492, 1.3580986]) == pytest.approx([0.2, 0.05], abs=1e-7)
    assert kolmogorov_smirnov(counts(5, 5), counts(5, 5), 0.0).rows_needed is None
    assert kolmogorov_smirnov(counts(5, 5), counts(5, 5), 1e-5).rows_needed is None  # 2e11
    assert kolmogorov_smirnov(counts(5, 5), counts(5, 5), 100.0).rows_needed == 1


@pytest.mark.parametrize("seed", range(3))
def test_at_those_rows_equal_sets_pass_four_times_out_of_five(seed: int) -> None:
    draw = np.random.default_rng(seed)
    passes = [ks(draw.normal(size=1182), draw.normal(size=1182)).interval.high <= 0.1 for _ in range(200)]
    assert 0.70 <= np.mean(passes) <= 0.90  # 0.8 give or take 3.5 standard errors of 0.028


def test_the_stability_index_by_hand() -> None:
    # shares of 40.5, 60.5 of 101 and 60.5, 40.5 of 101: 2 x 0.19802 x ln(1.493827)
    assert population_stability_index(counts(40, 60), counts(60, 40)) == pytest.approx(
        2 * (20 / 101) * math.log(60.5 / 40.5)
    )
    assert population_stability_index(counts(7, 0), counts(0, 7)) == pytest.approx(2 * (7 / 8) * math.log(15))
    assert population_stability_index(counts(3, 4), counts(3, 4)) == 0.0


def test_the_ends_of_the_stability_index_leave_two_and_a_half_percent() -> None:
    old, new = counts(500, 300, 200), counts(400, 300, 300)
    unit = 2 / 1000
    statistic = population_stability_index(old, new) / unit
    found = stability_index(old, new, 0.1).interval
    assert stats.ncx2.cdf(statistic, 2, found.low / unit) == pytest.approx(0.975, abs=1e-6)
    assert stats.ncx2.cdf(statistic, 2, found.high / unit) == pytest.approx(0.025, abs=1e-6)
    assert found.estimate == pytest.approx((statistic - 2) * unit)
    assert (found.n, found.unit, found.method) == (1000, "ratio", "noncentral-chi2")


def test_chi_squared_as_scipy_has_it_and_its_ends() -> None:
    old, new = counts(50, 30, 20), counts(70, 70, 100)
    statistic, _, freedom, _ = stats.chi2_contingency([old, new], correction=False)
    unit = 1 / 100 + 1 / 240
    found = chi_squared_effect(old, new, 0.3).interval
    assert found.estimate == pytest.approx(math.sqrt(unit * (statistic - freedom)))
    assert stats.ncx2.cdf(statistic, freedom, found.high**2 / unit) == pytest.approx(0.025, abs=1e-6)
    assert stats.ncx2.cdf(statistic, freedom, found.low**2 / unit) == pytest.approx(0.975, abs=1e-6)
    assert (found.n, found.unit, found.method) == (100, "ratio", "noncentral-chi2")


def test_effect_by_hand() -> None:
    # 0.6 and 0.4 against 0.5: sqrt((0.2^2 + 0.2^2) / 0.5) = 0.4, where chance is nothing beside the rows
    found = chi_squared_effect(counts(6_000_000, 4_000_000), counts(4_000_000, 6_000_000), 0.3).interval
    assert found.estimate == pytest.approx(0.4, abs=1e-4)
    assert found.low < 0.4 < found.high < 0.401


@pytest.mark.parametrize("measure", [stability_index, chi_squared_effect])
def test_equal_sides_have_no_distance(measure: Callable[..., Measured]) -> None:
    found = measure(counts(10, 20, 70), counts(10, 20, 70), 0.1).interval
    assert (found.low, found.estimate, found.high) == (0.0, 0.0, 0.0)  # less apart than chance makes equal sets
    alone = measure(counts(100), counts(50), 0.1)
    assert (alone.interval.low, alone.interval.estimate, alone.interval.high) == (0.0, 0.0, 0.0)
    assert (alone.interval.n, alone.rows_needed) == (50, 1)
    assert measure(counts(10, 20), counts(10, 20), 0.0).rows_needed is None
    assert measure(counts(10, 20), counts(10, 20), -0.1).rows_needed is None


def test_rows_needed_of_the_noncentral_ones() -> None:
    # 80% of chi-squared with 9 degrees lie below 12.242; that is the 2.5% point at a noncentrality of 16.52
    statistic = stats.chi2.ppf(0.8, 9)
    highest = 2 * brentq(lambda noncentrality: stats.ncx2.cdf(statistic, 9, noncentrality) - 0.025, 1, 100)
    ten = counts(*[100] * 10)
    assert stability_index(ten, ten, 0.1).rows_needed == pytest.approx(highest / 0.1, abs=1.5)
    assert chi_squared_effect(ten, ten, 0.3).rows_needed == pytest.approx(highest / 0.09, abs=1.5)


def test_a_shift_in_wasserstein_is_cohens_d() -> None:
    old = np.random.default_rng(0).normal(0.0, 3.0, 20_000)
    found = moved(old, old + 1.5).interval
    assert found.estimate == pytest.approx(1.5 / old.std())
    assert found.low < 0.5 < found.high
    assert (found.n, found.unit, found.method) == (20_000, "ratio", "bootstrap-process")


def test_the_noise_of_two_values_by_hand() -> None:
    """The area is |p - q| for 0 and 1; its noise is normal with variance p(1 - p) / n + q(1 - q) / m."""
    old, new = np.repeat([0.0, 1.0], 2_000), np.repeat([0.0, 1.0], [1_800, 1_200])
    deviation = math.sqrt(0.25 / 4_000 + 0.24 / 3_000)
    found = moved(old, new)
    assert found.interval.estimate == pytest.approx(0.1 / 0.5)
    assert found.interval.high - 0.2 == pytest.approx(1.96 * deviation / 0.5, rel=0.08)
    assert found.interval.low == pytest.approx(0.4 - found.interval.high)
    # of equal sides of n rows 80% lie below 1.2816 deviations; and one more reach
    per_root_row = (1.96 + 1.2816) * deviation / 0.5 / math.sqrt(0.5 / 4_000 + 0.5 / 3_000)
    assert found.rows_needed == pytest.approx((per_root_row / 0.2) ** 2, rel=0.15)


def test_wasserstein_is_seeded() -> None:
    old, new = drawn(1), drawn(2)
    assert moved(old, new) == moved(old, new)
    assert moved(old, new, seed=1).interval != moved(old, new).interval
    assert moved(old, new, limit=0.0).rows_needed is None


def test_many_distinct_values_are_resampled_on_a_grid() -> None:
    draw = np.random.default_rng(4)
    old, new = draw.lognormal(0, 1.5, 4_000), draw.lognormal(0, 1.5, 4_000)  # a long tail, no two values alike
    rounded = [np.exp(np.log(side).round(2)) for side in (old, new)]  # the same on about 900 values
    assert np.unique(np.concatenate(rounded)).size < MAX_CELLS < 8_000
    fine, coarse = moved(*rounded).interval, moved(old, new).interval
    assert coarse.high - coarse.estimate == pytest.approx(fine.high - fine.estimate, rel=0.1)


def shares_apart(draw: np.random.Generator, rows: int) -> tuple[Counts, Counts]:
    return draw.multinomial(rows, [0.5, 0.3, 0.2]), draw.multinomial(rows, [0.4, 0.3, 0.3])


@pytest.mark.parametrize("rows", [100, 1000])
def test_coverage(rows: int) -> None:
    """The true distance lies in 95% of the intervals or more: 500 draws, so that 0.93 is two standard errors below."""
    draw = np.random.default_rng(rows)
    index = 0.1 * math.log(0.5 / 0.4) + 0.1 * math.log(0.3 / 0.2)
    effect = math.sqrt(0.01 / 0.45 + 0.01 / 0.25)
    inside: dict[str, list[bool]] = {}
    for _ in range(500):
        old, new = shares_apart(draw, rows)
        for name, found, truth in (
            ("index", stability_index(old, new, 0.1).interval, index),
            ("effect", chi_squared_effect(old, new, 0.1).interval, effect),
            ("ks", kolmogorov_smirnov(old, new, 0.1).interval, 0.1),
        ):
            inside.setdefault(name, []).append(found.low <= truth <= found.high)
    assert {name: np.mean(found) >= 0.93 for name, found in inside.items()} == dict.fromkeys(inside, True)


def test_coverage_of_wasserstein() -> None:
    draw = np.random.default_rng(9)
    inside = []
    for _ in range(100):
        old, new = draw.normal(0, 1, 200).round(1), draw.normal(0.3, 1, 200).round(1)
        found = wasserstein(*on_shared_values(old, new), 1.0, 0.2, 0).interval
        inside.append(found.low <= 0.3 <= found.high)
    assert np.mean(inside) >= 0.93


@pytest.mark.parametrize(
    ("rows", "shift", "outcome"), [(4000, 0.0, "PASS"), (4000, 1.0, "FAIL"), (100, 0.0, "INCONCLUSIVE")]
)
def test_verdicts_of_every_outcome(rows: int, shift: float, outcome: str) -> None:
    found = ks(drawn(5, rows), drawn(6, rows, shift))
    verdict = judge(found.interval, at_most(0.1), rule="ks", samples_needed=found.rows_needed)
    assert verdict.outcome == outcome
    assert "points" in verdict.reason


@pytest.mark.parametrize("measure", [kolmogorov_smirnov, stability_index, chi_squared_effect])
@pytest.mark.parametrize("pair", [((1, 2), (1, 2, 3)), ((0, 0), (1, 2)), ((1, 2), (0, 0)), (((1, 2),), ((1, 2),))])
def test_what_is_no_pair_of_sides(measure: Callable[..., Measured], pair: tuple[tuple[int, ...], ...]) -> None:
    old, new = (np.array(side, dtype=np.int64) for side in pair)
    with pytest.raises(ValueError, match=r"^a distance needs one shape \(cells,\) and a row on each side, not \("):
        measure(old, new, 0.1)
