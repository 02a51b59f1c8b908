import math

import pytest
from pydantic import ValidationError
from scipy.stats import norm

from modelyard.evidence.interval import Z_95, Interval, at_least, at_most


def interval(low: float, estimate: float, high: float, n: int = 10) -> Interval:
    return Interval(low=low, estimate=estimate, high=high, n=n, unit="ms", method="tango")


def test_the_normal_quantile_is_scipys() -> None:
    assert norm.ppf(0.975) == pytest.approx(Z_95, abs=1e-14)


@pytest.mark.parametrize("ends", [(2, 1, 3), (1, 4, 3), (3, 2, 1), (0, -2e-12, 0), (1e9, 1e9 - 1, 1e9 + 1)])
def test_an_estimate_outside_its_ends_is_refused(ends: tuple[float, float, float]) -> None:
    with pytest.raises(ValidationError, match=r"interval \(.*\) must have low <= estimate <= high"):
        interval(*ends)


@pytest.mark.parametrize("ends", [(1, 1, 1), (1, 2, 2), (0, -5e-13, 0), (0, 5e-13, 0), (1e9, 1e9 - 1e-4, 1e9 + 1)])
def test_a_rounding_error_is_let_through(ends: tuple[float, float, float]) -> None:
    assert interval(*ends).estimate == ends[1]


def test_large_negative_ends_carry_their_own_rounding_error() -> None:
    assert interval(-1e9, -1e9 - 1e-4, 0).low == -1e9
    assert interval(-1e9 - 1, -1e9 + 1e-4, -1e9).high == -1e9


def test_no_observation_is_possible_and_fewer_are_not() -> None:
    assert interval(0, 0, 0, n=0).n == 0
    with pytest.raises(ValidationError, match="n is -1: a number of observations is never negative"):
        interval(0, 0, 0, n=-1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_ends_and_limits_are_finite(value: float) -> None:
    with pytest.raises(ValidationError):
        interval(0, 0, value)
    with pytest.raises(ValidationError):
        at_most(value)


def test_a_count_has_no_width() -> None:
    count = Interval.exact(7, n=100, unit="rows")
    assert (count.low, count.estimate, count.high, count.n, count.unit, count.method) == (7, 7, 7, 100, "rows", "count")


def test_the_limit_itself_is_inside() -> None:
    assert [at_most(1).holds(value) for value in (0.9, 1.0, 1.1)] == [True, True, False]
    assert [at_least(1).holds(value) for value in (0.9, 1.0, 1.1)] == [False, True, True]


def test_a_limit_reads_as_words() -> None:
    assert (str(at_most(0.01)), str(at_least(90))) == ("at most 0.01", "at least 90")
