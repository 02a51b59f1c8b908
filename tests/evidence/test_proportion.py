import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from modelyard.evidence.interval import Limit, at_least, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.proportion import newcombe, samples_for_proportion, wilson

# Newcombe (1998), Two-sided confidence intervals for the single proportion, Statistics in Medicine 17: 857-872,
# table I, method 3 (score without continuity correction)
NEWCOMBE = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}


@pytest.mark.parametrize(("counts", "ends"), NEWCOMBE.items())
def test_newcombes_worked_examples(counts: tuple[int, int], ends: tuple[float, float]) -> None:
    interval = wilson(*counts)
    assert (interval.low, interval.high) == pytest.approx(ends, abs=5e-5)
    assert interval.estimate == counts[0] / counts[1]
    assert (interval.n, interval.unit, interval.method) == (counts[1], "fraction", "wilson")


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (1, 2), (3, 10), (50, 100), (999, 1000), (123_456, 10_000_000)])
def test_as_statsmodels_and_scipy_have_it(k: int, n: int) -> None:
    interval = wilson(k, n)
    assert (interval.low, interval.high) == pytest.approx(proportion_confint(k, n, 0.05, "wilson"), abs=1e-12)
    if n <= 1000:
        other = binomtest(k, n).proportion_ci(0.95, "wilson")
        assert (interval.low, interval.high) == pytest.approx((other.low, other.high), abs=1e-12)


@given(n=st.integers(1, 10**9), data=st.data())
def test_ends_stay_in_the_unit_interval_and_mirror(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    one, other = wilson(k, n), wilson(n - k, n)
    assert 0.0 <= one.low <= one.estimate <= one.high <= 1.0
    assert one.low == pytest.approx(1.0 - other.high, abs=1e-12)


def test_nothing_and_everything_are_exact_at_their_end() -> None:
    for n in (1, 3, 7, 49, 1000, 12_345):
        assert wilson(0, n).low == 0.0
        assert wilson(n, n).high == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 5), (6, 5), (0, -1)])
def test_no_proportion(k: int, n: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^{k} of {n} rows is no proportion: it needs at least 1 row and 0 to n succ"
    ):
        wilson(k, n)


@pytest.mark.parametrize(
    ("estimate", "limit", "n"),
    [
        (0.95, at_least(0.9), 139),  # 3.8415 x 0.09 / 0.0025 = 138.3
        (0.05, at_most(0.1), 139),
        (0.5, at_most(0.6), 93),  # 3.8415 x 0.24 / 0.01 = 92.2
        (1.0, at_least(0.001), 1),
        (0.9, at_least(0.9), None),
        (0.8, at_least(0.9), None),
        (0.2, at_most(0.1), None),
        (0.0, at_most(0.0), None),  # the upper end is never 0
        (1.0, at_least(1.0), None),
        (0.0, at_most(-0.5), None),
        (1.0, at_most(1.0), 1),  # always true
        (0.3, at_most(1.5), 1),
        (0.0, at_least(0.0), 1),
        (0.3, at_least(-1.0), 1),
    ],
)
def test_rows_at_which_a_share_would_settle(estimate: float, limit: Limit, n: int | None) -> None:
    assert samples_for_proportion(estimate, limit) == n


@pytest.mark.parametrize(("share", "limit"), [(0.5, at_most(0.6)), (0.5, at_least(0.48)), (0.25, at_most(0.26))])
def test_the_verdict_turns_at_that_number(share: float, limit: Limit) -> None:
    n = samples_for_proportion(share, limit)
    assert n is not None
    enough, short = -(-n // 4) * 4, (n // 4 - 1) * 4  # whole numbers of rows at these shares
    assert judge(wilson(round(share * enough), enough), limit, rule="r").outcome == "PASS"
    assert judge(wilson(round(share * short), short), limit, rule="r").outcome == "INCONCLUSIVE"
    assert judge(wilson(enough, enough), at_most(0.6), rule="r").outcome == "FAIL"


# Newcombe (1998), Interval estimation for the difference between independent proportions, table II, method 10
DIFFERENCES = {
    (56, 70, 48, 80): (0.0524, 0.3339),
    (9, 10, 3, 10): (0.1705, 0.8090),
    (6, 7, 2, 7): (0.0582, 0.8062),
    (5, 56, 0, 29): (-0.0381, 0.1926),
    (0, 10, 0, 20): (-0.1611, 0.2775),
    (10, 10, 0, 20): (0.6791, 1.0),
    (10, 10, 0, 10): (0.6075, 1.0),
}


@pytest.mark.parametrize(("counts", "ends"), DIFFERENCES.items())
def test_newcombes_differences(counts: tuple[int, int, int, int], ends: tuple[float, float]) -> None:
    interval = newcombe(*counts)
    assert (interval.low, interval.high) == pytest.approx(ends, abs=5e-5)
    assert interval.estimate == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])
    assert (interval.n, interval.unit, interval.method) == (min(counts[1], counts[3]), "fraction", "newcombe")
    assert interval.low == pytest.approx(confint_proportions_2indep(*counts, method="newcomb")[0])


@pytest.mark.parametrize("counts", [(1, 0, 1, 2), (1, 2, 3, 2)])
def test_no_difference_of_proportions(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="is no proportion"):
        newcombe(*counts)
