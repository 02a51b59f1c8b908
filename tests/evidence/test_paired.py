import bisect
import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, bootstrap

from modelyard.evidence.interval import Z_95, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.paired import (
    PairedCount,
    bca,
    drop,
    rows_to_pass_without_discordance,
    samples_for_drop,
    tango,
    tango_ends,
)
from modelyard.evidence.proportion import wilson

# 2 x 2 tables (both right, b, c, both wrong) and the published ends of Tango's 95% interval
# airway hyper-responsiveness, complete response: Fagerland, Lydersen and Laake (2014), Recommended tests and
# confidence intervals for paired binomial proportions, Statistics in Medicine 33: 2850-2875
TABLES = {
    (1, 1, 7, 12): (-0.517, -0.026),
    (4, 9, 3, 16): (-0.027, 0.390),
    (53, 16, 8, 9): (-0.020, 0.207),
}


@st.composite
def paired_counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 10**7) | st.integers(1, 50))
    b = draw(st.integers(0, n) | st.integers(0, min(n, 5)))
    return b, draw(st.integers(0, n - b) | st.integers(0, min(n - b, 5))), n


@pytest.mark.parametrize(("table", "ends"), TABLES.items())
def test_published_tables(table: tuple[int, int, int, int], ends: tuple[float, float]) -> None:
    interval = tango(table[1], table[2], sum(table))
    assert (interval.low, interval.high) == pytest.approx(ends, abs=5e-4)
    assert interval.estimate == (table[1] - table[2]) / sum(table)
    assert (interval.n, interval.unit, interval.method) == (sum(table), "fraction", "tango")


def test_tangos_own_example_at_90_percent() -> None:
    """Crossover trial of soft contact lens disinfection, Tango (1998): (43, 0, 1, 0)."""
    assert tango_ends(0, 1, 44, 1.6448536269514722) == pytest.approx((-0.096, 0.037), abs=5e-4)


def test_near_newcombes_hybrid_interval() -> None:
    """(59, 6, 16, 80): Newcombe (1998), method 10, gives (-0.1186, -0.0046); another method, so near and not equal."""
    interval = tango(6, 16, 161)
    assert (interval.low, interval.high) == pytest.approx((-0.1186, -0.0046), abs=6e-3)


def score(b: int, c: int, n: int, delta: float) -> float:
    """The score statistic with the likelihood maximised by search instead of by Tango's formula."""

    def minus_log_likelihood(q: float) -> float:
        return -(b * math.log(q + delta) + c * math.log(q) + (n - b - c) * math.log(1 - 2 * q - delta))

    bounds = (max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
    q = minimize_scalar(minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    return float((b - c - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta))))


@pytest.mark.parametrize(("b", "c", "n"), [(5, 3, 20), (40, 20, 160), (30, 30, 2000), (1, 12, 40), (9, 1, 11)])
def test_the_score_test_just_rejects_at_the_ends(b: int, c: int, n: int) -> None:
    interval = tango(b, c, n)
    assert score(b, c, n, interval.low) == pytest.approx(Z_95, abs=1e-5)
    assert score(b, c, n, interval.high) == pytest.approx(-Z_95, abs=1e-5)


@given(paired_counts())
def test_swapping_the_models_mirrors_the_interval(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    one, other = tango(b, c, n), tango(c, b, n)
    assert (one.low, one.high) == (-other.high, -other.low)


@given(paired_counts())
def test_ends_stay_within_one_and_around_the_estimate(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    interval = tango(b, c, n)
    assert -1.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    assert (interval.low < interval.estimate) == (c < n)
    assert (interval.estimate < interval.high) == (b < n)


@given(paired_counts(), st.integers(2, 20))
def test_more_rows_alike_make_it_narrower(counts: tuple[int, int, int], times: int) -> None:
    few, many = tango(*counts), tango(*(times * count for count in counts))
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("n", [1, 2, 50, 10**7])
def test_tables_with_no_variance_by_hand(n: int) -> None:
    spread = Z_95**2 / n
    none = tango(0, 0, n)
    assert (none.low, none.high) == pytest.approx((-spread / (1 + spread), spread / (1 + spread)), rel=1e-12)
    worse, better = tango(n, 0, n), tango(0, n, n)
    assert (worse.low, worse.high) == (pytest.approx((1 - spread) / (1 + spread)), 1.0)
    assert (better.low, better.high) == (-1.0, pytest.approx((spread - 1) / (1 + spread)))


def test_a_large_table_is_nearly_walds() -> None:
    interval = tango(150_300, 149_700, 10**7)
    half = Z_95 * math.sqrt(0.03 - 0.00006**2) / math.sqrt(10**7)
    assert interval.high - interval.estimate == pytest.approx(half, rel=1e-3)
    assert interval.estimate - interval.low == pytest.approx(half, rel=1e-3)


@pytest.mark.parametrize("n", [10, 1000, 10**7])
@pytest.mark.parametrize("b", [1, 2, 3, 5, 8])
def test_an_upper_end_by_hand_where_no_row_falls_to_the_candidate(b: int, n: int) -> None:
    """With c = 0 the variance is delta (1 - delta): delta^2 (1 + k) - delta (2 p + k) + p^2 = 0, k = z^2 / n."""
    p, k = b / n, Z_95**2 / n
    root = (2 * p + k + math.sqrt((2 * p + k) ** 2 - 4 * (1 + k) * p * p)) / (2 * (1 + k))
    assert tango(b, 0, n).high == pytest.approx(root, rel=2e-8)


@pytest.mark.parametrize(("b", "c", "n"), [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (0, 0, 0)])
def test_no_paired_table(b: int, c: int, n: int) -> None:
    with pytest.raises(ValueError, match=rf"^b={b}, c={c}, n={n} is no paired table: it needs b, c >= 0, n >= 1 and"):
        tango(b, c, n)


@pytest.mark.parametrize(
    ("counts", "outcome"), [((30, 30, 10_000), "PASS"), ((250, 50, 10_000), "FAIL"), ((6, 6, 400), "INCONCLUSIVE")]
)
def test_a_gate_on_the_drop(counts: tuple[int, int, int], outcome: str) -> None:
    assert judge(tango(*counts), at_most(0.01), rule="drop_max").outcome == outcome


@pytest.mark.parametrize("rows", [100, 200, 500])
@pytest.mark.parametrize("discordance", [0.01, 0.02, 0.03, 0.05, 0.1])
def test_false_passes_stay_under_5_percent_exactly(rows: int, discordance: float) -> None:
    """True drop of one point, just at the limit, where a pass is likeliest: every table with its chance.

    At 1% every discordant row is against the candidate. The worst of 49 such cells, n to 10,000, is 2.60%
    (discordance 5%, n = 200).
    """
    passes, against = 0.0, (discordance + 0.01) / (2 * discordance)
    for m in range(int(binom.ppf(1 - 1e-9, rows, discordance)) + 1):
        most = bisect.bisect_right(range(m + 1), 0.01, key=lambda b, m=m: tango(b, m - b, rows).high) - 1
        passes += binom.pmf(m, rows, discordance) * binom.cdf(most, m, against)
    assert passes < 0.0261
    if (rows, discordance) == (200, 0.05):
        assert passes == pytest.approx(0.0260, abs=5e-5)


def test_discordant_rows_are_counted_each_way() -> None:
    reference = np.array([1, 1, 1, 0, 0, 1, 1, 0], dtype=bool)
    candidate = np.array([1, 0, 0, 1, 0, 0, 1, 0], dtype=bool)
    assert drop(reference, candidate) == PairedCount(b=3, c=1, n=8)
    assert drop([2, 0], [2, 0]) == (0, 0, 2)  # type: ignore[arg-type]  # anything but 0 is right
    assert drop(np.array([], dtype=bool), np.array([], dtype=bool)) == (0, 0, 0)


@pytest.mark.parametrize(("one", "other"), [((3,), (2,)), ((2, 2), (2, 2))])
def test_rows_that_are_not_paired(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^paired rows need one shape \(rows,\), not \(.*\) and \(.*\)$"):
        drop(np.ones(one, dtype=bool), np.ones(other, dtype=bool))


@pytest.mark.parametrize(
    ("limit", "rows"),
    [
        (0.01, 381),  # 3.8415 x 99 = 380.3
        (0.03, 125),  # 3.8415 x 0.97 / 0.03 = 124.2
        (0.5, 4),
        (1.0, 1),
        (2.0, 1),
        (1e-5, 384_143),
        (0.0, None),
        (-0.1, None),
        (3.0e-7, None),
        (3.9e-7, 9_849_891),
        (Z_95**2 / (1e7 + Z_95**2) * (1 + 1e-9), 10_000_000),
        (Z_95**2 / (1e7 + Z_95**2) * (1 - 1e-9), None),
    ],
)
def test_rows_that_pass_without_a_discordant_one(limit: float, rows: int | None) -> None:
    assert rows_to_pass_without_discordance(limit) == rows
    if rows is not None:
        assert judge(tango(0, 0, rows), at_most(limit), rule="r").outcome == "PASS"
    if rows is not None and rows > 1:
        assert judge(tango(0, 0, rows - 1), at_most(limit), rule="r").outcome == "INCONCLUSIVE"


def power_by_enumeration(n: int, discordance: float, limit: float) -> float:
    """Every table (b, c) of n rows with its multinomial chance, judged by the gate itself."""
    total = 0.0
    for b, c in itertools.product(range(n + 1), repeat=2):
        if b + c <= n and tango(b, c, n).high <= limit:
            chance = math.exp(
                math.lgamma(n + 1)
                - math.lgamma(b + 1)
                - math.lgamma(c + 1)
                - math.lgamma(n - b - c + 1)
                + (b + c) * math.log(discordance / 2)
                + (n - b - c) * math.log1p(-discordance)
            )
            total += chance
    return total


@pytest.mark.parametrize(("counts", "limit"), [((1, 1, 10), 0.3), ((3, 1, 8), 0.5), ((2, 0, 40), 0.2)])
def test_rows_needed_have_80_percent_power_by_enumeration(counts: PairedCount, limit: float) -> None:
    n = samples_for_drop(*counts, limit)
    assert n is not None
    discordance = (counts[0] + counts[1]) / counts[2]
    assert power_by_enumeration(n, discordance, limit) >= 0.8
    assert power_by_enumeration(n - 1, discordance, limit) < 0.8


@pytest.mark.parametrize(
    ("counts", "limit"), [((30, 30, 2000), 0.01), ((300, 300, 1000), 0.01), ((1, 0, 2), 0.01), ((5, 5, 100), 0.02)]
)
def test_rows_needed_are_near_the_normal_approximation(counts: PairedCount, limit: float) -> None:
    """Nam (1997), n = (z_0.975 + z_0.80)^2 x discordance / limit^2, for a true difference of zero."""
    n = samples_for_drop(*counts, limit)
    assert n == pytest.approx((1.96 + 0.8416) ** 2 * (counts[0] + counts[1]) / counts[2] / limit**2, rel=0.06)


def test_which_side_the_rows_fell_to_does_not_matter() -> None:
    assert samples_for_drop(60, 0, 2000, 0.01) == samples_for_drop(0, 60, 2000, 0.01) == 2475


@pytest.mark.parametrize(
    ("counts", "limit", "n"),
    [
        ((0, 0, 50), 0.01, 381),
        ((1, 0, 10**6), 0.01, 381),  # hardly ever a discordant row: the lower bound holds
        ((5, 5, 100), 0.0, None),
        ((5, 5, 100), -0.01, None),
        ((0, 0, 100), 0.0, None),
        ((1, 1, 2), 1e-4, None),
        ((1, 1, 2), 1e-7, None),
        ((1, 1, 2), 1.0, 1),
    ],
)
def test_rows_needed_at_the_edges(counts: PairedCount, limit: float, n: int | None) -> None:
    assert samples_for_drop(*counts, limit) == n


def test_rows_needed_up_to_ten_million() -> None:
    n = samples_for_drop(5, 5, 10, 0.0009)
    assert n == pytest.approx((1.96 + 0.8416) ** 2 / 0.0009**2, rel=1e-3)
    assert samples_for_drop(5, 5, 10, 0.00088) is None


@pytest.mark.parametrize("rows", [30, 300])
def test_bootstrap_of_means_is_scipys_of_the_differences(rows: int) -> None:
    """The difference of two means is the mean of the differences: one sample instead of two paired ones."""
    a, b = np.random.default_rng(rows).gamma(2.0, size=(2, rows))
    interval = bca(a, b, np.mean, seed=5)
    other = bootstrap((a - b,), np.mean, method="BCa", rng=np.random.default_rng(5))
    assert (interval.low, interval.high) == pytest.approx(tuple(other.confidence_interval), rel=1e-9)
    assert interval.estimate == pytest.approx(a.mean() - b.mean())
    assert (interval.n, interval.unit, interval.method) == (rows, "fraction", "bca")


def test_rows_are_drawn_jointly() -> None:
    a = np.random.default_rng(0).normal(size=200)
    interval = bca(a + 0.1, a, np.mean, seed=0, unit="ms")
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))
    assert interval.unit == "ms"


def test_equal_seeds_give_equal_intervals() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 40))
    assert bca(a, b, np.mean, seed=1) == bca(a, b, np.mean, seed=1)
    assert bca(a, b, np.mean, seed=1) != bca(a, b, np.mean, seed=2)


@pytest.mark.parametrize(("a", "b"), [(np.ones(5), np.ones(5)), (np.arange(6.0), np.arange(6.0) - 2)])
def test_nothing_varies(a: np.ndarray, b: np.ndarray) -> None:
    interval = bca(a, b, np.mean, seed=0)
    assert (interval.low, interval.estimate, interval.high) == pytest.approx((a[0] - b[0],) * 3, abs=1e-14)


def test_ties_fall_back_to_the_percentile_interval() -> None:
    """One row of five differs: the median of the differences never moves far, and its jackknife not at all."""
    a, b = np.array([0.0, 0.0, 0.0, 0.0, 1.0]), np.zeros(5)
    interval = bca(a, b, np.median, seed=0)
    assert (interval.low, interval.estimate, interval.high) == (0.0, 0.0, 1.0)
    assert interval.method == "bootstrap-percentile"


def test_single_precision_is_widened_first() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 50)).astype(np.float32)
    assert bca(a, b, np.mean, seed=0).estimate == np.mean(a, dtype=np.float64) - np.mean(b, dtype=np.float64)


def test_only_scipys_warning_of_degenerate_data_is_hushed() -> None:
    def warning_mean(values: np.ndarray, axis: int) -> np.ndarray:
        if values.ndim > 1:
            warnings.warn("a resample went wrong", UserWarning, stacklevel=2)
        return values.mean(axis=axis)

    a, b = np.random.default_rng(2).normal(size=(2, 50))
    with pytest.warns(UserWarning, match="a resample went wrong"):
        bca(a, b, warning_mean, seed=0)


@pytest.mark.parametrize(("one", "other"), [((3,), (2,)), ((2, 2), (2, 2)), ((1,), (1,)), ((0,), (0,))])
def test_a_bootstrap_needs_paired_rows(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^a paired bootstrap needs one shape \(rows,\) of 2 rows or more, not \("):
        bca(np.ones(one), np.ones(other), np.mean, seed=0)


def test_two_rows_are_enough_and_many_are_drawn_in_pieces() -> None:
    assert bca(np.array([0.0, 1.0]), np.zeros(2), np.mean, seed=0).n == 2
    a, b = np.random.default_rng(0).normal(size=(2, 1000))
    assert bca(a, b, np.mean, seed=0).high - bca(a, b, np.mean, seed=0).low == pytest.approx(
        2 * Z_95 * np.std(a - b) / math.sqrt(1000), rel=0.05
    )


def test_a_smaller_discordance_than_one_model_alone() -> None:
    """Why pairing pays: the same accuracies as two separate proportions leave a far wider gap."""
    paired = tango(30, 20, 2000)
    apart = wilson(1800, 2000)
    assert paired.high - paired.low < apart.high - apart.low
