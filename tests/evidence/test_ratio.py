"""The interval of a ratio of sums against a hand calculation, a bootstrap of numpy's own and its promised coverage."""

import numpy as np
import pytest

from modelyard.evidence.ratio import ratio_of_sums


def test_three_rows_by_hand() -> None:
    # ratio 12 / 6 = 2; residuals 1-2, 5-6, 6-4 = -1, -1, 2; sqrt(3/2 x 6) / 6 = 0.5; t(0.975, 2) = 4.302653
    interval = ratio_of_sums(np.array([1.0, 5.0, 6.0]), np.array([1.0, 3.0, 2.0]), unit="nats")
    assert (interval.estimate, interval.n, interval.method) == (2.0, 3, "linearised")
    assert interval.high - 2.0 == pytest.approx(4.302653 * 0.5, abs=1e-6)
    assert 2.0 - interval.low == pytest.approx(4.302653 * 0.5, abs=1e-6)


def test_one_row_has_a_range_of_no_width() -> None:
    interval = ratio_of_sums(np.array([3.0]), np.array([2.0]), unit="nats")
    assert (interval.low, interval.estimate, interval.high, interval.method) == (1.5, 1.5, 1.5, "range")


def test_rows_that_are_all_alike_tell_nothing_of_others() -> None:
    """Of 3 and 6 in 2 and 4, and of a row that counts nothing: no width, and no limit can be judged by it."""
    interval = ratio_of_sums(np.array([3.0, 6.0, 0.0]), np.array([2.0, 4.0, 0.0]), unit="nats")
    assert (interval.low, interval.estimate, interval.high, interval.method) == (1.5, 1.5, 1.5, "range")
    one_apart = ratio_of_sums(np.array([3.0, 6.0, 1.0]), np.array([2.0, 4.0, 0.0]), unit="nats")
    assert one_apart.method == "linearised" and one_apart.high > one_apart.low


def test_as_a_bootstrap_over_rows_has_it() -> None:
    draw = np.random.default_rng(1)
    tokens = draw.integers(1, 200, 400).astype(float)
    nats = tokens * draw.gamma(8.0, 0.4, 400)
    interval = ratio_of_sums(nats, tokens, unit="nats")
    picked = draw.integers(0, 400, (4_000, 400))
    low, high = np.quantile(nats[picked].sum(axis=1) / tokens[picked].sum(axis=1), (0.025, 0.975))
    assert interval.low == pytest.approx(low, abs=0.1 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.1 * (high - low))


def test_covers_the_true_ratio_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    held = 0
    for _ in range(1_000):
        tokens = draw.integers(5, 60, 30).astype(float)
        interval = ratio_of_sums(tokens * draw.gamma(4.0, 0.5, 30), tokens, unit="nats")  # the mean of the gamma is 2
        held += interval.low <= 2.0 <= interval.high
    assert 920 <= held <= 975  # 950 expected; skewed rows cost a little
