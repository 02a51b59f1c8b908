import numpy as np
import pytest
from scipy.stats import binom, quantile_test

from modelyard.evidence.interval import at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.timing import median_interval, percentile_interval, time_ratio


def test_the_median_by_hand() -> None:
    """One head or fewer in 10 tosses: 11/1024 = 0.011, two: 0.055; 5 or fewer in 20: 0.0207, 6: 0.058."""
    ten, twenty = median_interval(range(1, 11)), median_interval(range(20, 0, -1))
    assert (ten.low, ten.estimate, ten.high) == (2, 5.5, 9)
    assert (twenty.low, twenty.estimate, twenty.high) == (6, 10.5, 15)
    assert (ten.n, ten.unit, ten.method) == (10, "ms", "order-statistics")


@pytest.mark.parametrize(("n", "percent"), [(6, 50), (25, 50), (100, 95), (500, 95), (1000, 99), (200, 10)])
def test_as_scipy_has_it(n: int, percent: float) -> None:
    times = np.random.default_rng(n).gamma(2.0, 10.0, n)
    interval = percentile_interval(times, percent)
    other = quantile_test(times, q=0.0, p=percent / 100).confidence_interval(0.95)
    assert (interval.low, interval.high) == (other.low, other.high)
    assert interval.estimate == np.percentile(times, percent)
    assert interval.method == "order-statistics"


@pytest.mark.parametrize("n", [6, 10, 30, 100])
def test_coverage_is_what_is_stated(n: int) -> None:
    interval = median_interval(range(1, n + 1))
    below, above = binom.cdf(interval.low - 1, n, 0.5), binom.sf(interval.high - 1, n, 0.5)
    assert below <= 0.025
    assert above <= 0.025
    assert binom.cdf(interval.low, n, 0.5) > 0.025  # the next rank would be too much


@pytest.mark.parametrize(("percent", "runs"), [(50, 6), (95, 72), (99, 368), (5, 72)])
def test_the_fewest_runs_that_bound_a_percentile(percent: float, runs: int) -> None:
    """By hand for the 95th: 0.95^71 = 0.0262, 0.95^72 = 0.0249."""
    assert percentile_interval(range(runs), percent).method == "order-statistics"
    short = percentile_interval(range(runs - 1), percent)
    assert short.method == "range"
    assert short.low == 0 or short.high == runs - 2


def test_few_runs_give_their_range_and_no_verdict() -> None:
    interval = median_interval([30.0, 10.0, 20.0])
    assert (interval.low, interval.estimate, interval.high, interval.method) == (10, 20, 30, "range")
    assert judge(interval, at_most(1000), rule="r").outcome == "INCONCLUSIVE"
    one = percentile_interval([4.0], 95)
    assert (one.low, one.estimate, one.high, one.n) == (4, 4, 4, 1)


def test_a_ratio_pairs_the_rounds() -> None:
    slow_spell = np.array([1.0, 1.0, 9.0, 9.0, 1.0, 1.0, 1.0, 3.0])
    interval = time_ratio(0.5 * slow_spell, slow_spell)
    assert (interval.low, interval.estimate, interval.high) == (0.5, 0.5, 0.5)
    assert (interval.n, interval.unit, interval.method) == (8, "ratio", "order-statistics")
    assert time_ratio([6.0], [2.0]).estimate == 3.0
    assert time_ratio([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.ones(6)).estimate == 3.5


def test_single_precision_is_widened_first() -> None:
    third = np.float32(1.0) / np.float32(3.0)
    one, other = np.full(3, third), np.ones(3)
    assert time_ratio(one, 3 * other).estimate == float(third) / 3
    assert time_ratio(other, one).estimate == 1 / float(third)
    assert time_ratio(one, np.full(3, 3, dtype=np.float32)).estimate == float(third) / 3
    assert time_ratio(np.full(3, 3, dtype=np.float32), one).estimate == 3 / float(third)
    tenths = np.array([0.1, 0.2], dtype=np.float32)
    assert median_interval(tenths).estimate == np.median(tenths.astype(np.float64))


@pytest.mark.parametrize(
    ("times", "outcome"),
    [
        ([0.5, 0.6, 0.7, 0.5, 0.6, 0.7], "PASS"),
        ([1.5, 1.6, 1.7, 1.5, 1.6, 1.7], "FAIL"),
        ([0.5, 0.6, 1.7, 1.5, 0.6, 0.7], "INCONCLUSIVE"),
        ([0.5, 0.6, 0.7, 0.5, 0.6], "INCONCLUSIVE"),
    ],
)
def test_faster_slower_or_cannot_tell(times: list[float], outcome: str) -> None:
    assert judge(time_ratio(times, np.ones(len(times))), at_most(1.0), rule="speed").outcome == outcome


@pytest.mark.parametrize(
    ("times_a", "times_b", "message"),
    [
        ([1.0, 2.0], [1.0], r"^interleaved times need one shape \(rounds,\), not \(2,\) and \(1,\)$"),
        ([0.0], [1.0], "^a time that is not above zero was not measured$"),
        ([1.0], [0.0], "^a time that is not above zero was not measured$"),
        ([1.0], [-1.0], "not above zero"),
        ([1.0], [float("nan")], "not above zero"),
        ([], [], r"^an interval of times needs the shape \(runs,\) with at least 1 run, not \(0,\)$"),
        ([[1.0]], [[1.0]], r"not \(1, 1\)"),
    ],
)
def test_times_that_are_none(times_a: list[float], times_b: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        time_ratio(times_a, times_b)
