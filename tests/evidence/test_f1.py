"""F1 against hand calculations, Wilson's interval and its promised coverage; what says nothing; what is all right."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from modelyard.evidence.f1 import Marks, f1, judged_labels, macro_f1
from modelyard.evidence.interval import Interval

Drawn = tuple[Marks, Marks]


def marks(*rows: str) -> Marks:
    return np.array([[mark == "1" for mark in row] for row in rows])


# two labels: the first 2 right, 1 missed, 1 given for nothing (F1 4/6); the second 1 right, 2 missed (F1 2/4)
TRUTH = marks("10", "11", "11", "01", "00", "00")
GIVEN = marks("10", "11", "00", "00", "10", "00")


def test_points_by_hand() -> None:
    first, second = (f1(TRUTH[:, [label]], GIVEN[:, [label]]) for label in (0, 1))
    both, mean = f1(TRUTH, GIVEN), macro_f1(TRUTH, GIVEN)
    assert first and second and both and mean
    assert (first.estimate, second.estimate) == pytest.approx((4 / 6, 2 / 4))
    assert both.estimate == pytest.approx(2 * 3 / (2 * 3 + 1 + 3))
    assert mean.estimate == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert (first.n, second.n, both.n, mean.n) == (4, 3, 5, 5)  # the last row has nothing and was given nothing
    assert (both.unit, both.method) == ("fraction", "wilson-effective")


def test_one_label_has_wilsons_interval_of_the_jaccard_index() -> None:
    truth, given = np.repeat([1, 1, 0, 0], [7, 2, 4, 50]) == 1, np.repeat([1, 0, 1, 0], [7, 2, 4, 50]) == 1
    low, high = proportion_confint(7, 13, method="wilson")
    for measure in (f1, macro_f1):
        found = measure(truth[:, None], given[:, None])
        assert found is not None and found.n == 13
        assert (found.low, found.estimate, found.high) == pytest.approx(
            (2 * low / (1 + low), 14 / 20, 2 * high / (1 + high))
        )


def f1_ends(right: int, either: int) -> NDArray[np.float64]:
    ends = np.array(proportion_confint(right, either, method="wilson"))
    return 2 * ends / (1 + ends)


def test_the_mean_of_two_labels_by_hand() -> None:
    # J is 2/4 and 1/3. What a row adds to F1 is 2 / (1 + J)^2 / (rows of J) x (right - J either):
    # 2/9 x (1/2, 1/2, -1/2, 0, -1/2) of the first label and 3/8 x (0, 2/3, -1/3, -1/3, 0) of the second
    of_rows = np.array([1 / 9, 1 / 9 + 1 / 4, -1 / 9 - 1 / 8, -1 / 8, -1 / 9]) / 2
    estimate = 7 / 12
    share = estimate / (2 - estimate)  # 7/17
    effective = share * (1 - share) / (float((of_rows**2).sum()) / (2 / (1 + share) ** 2) ** 2)
    z = 1.959963984540054
    centre, reach = (
        share + z**2 / (2 * effective),
        z * np.sqrt(share * (1 - share) / effective + (z / effective / 2) ** 2),
    )
    low, high = (centre - reach) / (1 + z**2 / effective), (centre + reach) / (1 + z**2 / effective)
    found = macro_f1(TRUTH, GIVEN)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


def test_a_label_that_nobody_has_or_is_given_is_left_out() -> None:
    nothing = np.zeros((6, 1), np.bool_)
    wide = [np.hstack([one, nothing]) for one in (TRUTH, GIVEN)]
    assert macro_f1(*wide) == macro_f1(TRUTH, GIVEN)
    assert (judged_labels(*wide), judged_labels(TRUTH, GIVEN)) == (2, 2)
    assert f1(nothing, nothing) is None and macro_f1(nothing, nothing) is None
    given = macro_f1(*(np.hstack([one, other]) for one, other in ((TRUTH, nothing), (GIVEN, ~nothing))))
    assert given is not None and given.estimate == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)  # given six times for nothing


def test_all_right_or_all_wrong_is_not_certain() -> None:
    truth = np.repeat(np.eye(3, dtype=bool), 4, axis=0)
    nothing = np.zeros_like(truth)
    of_all, missed = f1(truth, truth), f1(truth, nothing)
    mean, missed_mean = macro_f1(truth, truth), macro_f1(truth, nothing)
    assert of_all and missed and mean and missed_mean
    assert (of_all.estimate, of_all.high, mean.estimate, mean.high) == (1.0, 1.0, 1.0, 1.0)
    assert of_all.low == pytest.approx(f1_ends(12, 12)[0])
    assert mean.low == pytest.approx(1 - np.sqrt(2 * 3) * (1 - f1_ends(4, 4)[0]) / 3)
    assert (missed.low, missed.estimate, missed_mean.low, missed_mean.estimate) == (0.0, 0.0, 0.0, 0.0)
    assert missed.high > 0.3 and missed_mean.high > 0.3


@pytest.mark.parametrize("wrong", [0, 1, 5])
def test_a_rare_label_that_is_all_right_neither_vanishes_nor_rules(wrong: int) -> None:
    """Of 1,000, 1,000 and 2 rows: the two say little, and the many that they can lower the mean by a third at most."""
    truth = np.repeat(np.eye(3, dtype=bool), [1_000, 1_000, 2], axis=0)
    given = truth.copy()
    given[:wrong] = [False, True, False]
    found = macro_f1(truth, given)
    assert found is not None
    assert 2 / 3 < found.low < 1 - (1 - f1_ends(2, 2)[0]) / 3


def test_a_label_that_is_all_right_makes_the_mean_no_surer() -> None:
    """Two labels of which one is never wrong: the mean must not look as if half of it were known."""
    truth = np.repeat(np.eye(2, dtype=bool), [40, 3], axis=0)
    given = truth.copy()
    given[:10] = False
    found = macro_f1(truth, given)
    assert found is not None
    first = f1(truth[:, [0]], given[:, [0]])
    assert first is not None and found.high - found.low > 1.3 * (first.high - first.low) / 2


def test_a_row_is_one_observation_whatever_it_holds() -> None:
    """Labels that always come together say nothing more than one of them."""
    one = f1(TRUTH[:, [0]], GIVEN[:, [0]])
    five = f1(np.repeat(TRUTH[:, [0]], 5, axis=1), np.repeat(GIVEN[:, [0]], 5, axis=1))
    assert one is not None and five is not None
    assert (five.low, five.high) == pytest.approx((one.low, one.high))


def one_label(draw: np.random.Generator, rows: int) -> Drawn:
    """Three classes of 60, 25 and 15 in 100; an answer is right in 80."""
    truth = draw.choice(3, rows, p=(0.6, 0.25, 0.15))
    given = np.where(draw.random(rows) < 0.8, truth, (truth + draw.integers(1, 3, rows)) % 3)
    return truth[:, None] == np.arange(3), given[:, None] == np.arange(3)


def of_one_label() -> float:
    shares, right = np.array([0.6, 0.25, 0.15]), 0.8
    given = right * shares + (1 - right) / 2 * (1 - shares)
    return float((2 * right * shares / (shares + given)).mean())


def rare_label(draw: np.random.Generator, rows: int) -> Drawn:
    """Three classes of 50, 47 and 3 in 100; an answer is right in 97, so that the rare one is often all right."""
    truth = draw.choice(3, rows, p=RARE)
    given = np.where(draw.random(rows) < 0.97, truth, (truth + draw.integers(1, 3, rows)) % 3)
    return truth[:, None] == np.arange(3), given[:, None] == np.arange(3)


RARE = np.array([0.5, 0.47, 0.03])


def several_labels(draw: np.random.Generator, rows: int) -> Drawn:
    """Five labels of 30 in 100; rows are easy or hard as a whole, so that their labels are wrong together."""
    truth, easy = draw.random((rows, 5)) < 0.3, draw.random((rows, 1)) < 0.7
    found = draw.random((rows, 5)) < np.where(easy, 0.95, 0.5)
    return truth, np.where(truth, found, draw.random((rows, 5)) < np.where(easy, 0.02, 0.2))


def of_several_labels() -> float:  # all labels alike: macro and micro are the same
    right, wrong = 0.3 * (0.7 * 0.95 + 0.3 * 0.5), 0.7 * (0.7 * 0.02 + 0.3 * 0.2)
    return 2 * right / (0.3 + right + wrong)


@pytest.mark.parametrize(
    ("measure", "drawn", "true", "rows"),
    [
        (macro_f1, one_label, of_one_label(), 150),
        (macro_f1, several_labels, of_several_labels(), 100),
        (f1, several_labels, of_several_labels(), 60),
    ],
)
def test_covers_the_truth_as_often_as_it_says(
    measure: Callable[[Marks, Marks], Interval | None],
    drawn: Callable[[np.random.Generator, int], Drawn],
    true: float,
    rows: int,
) -> None:
    draw = np.random.default_rng(11)
    found = [measure(*drawn(draw, rows)) for _ in range(3_000)]
    held = sum(one is not None and one.low <= true <= one.high for one in found)
    assert 2_826 <= held <= 2_874  # 2,850 expected, two standard deviations of a binomial either way


def test_covers_nearly_as_often_with_a_rare_label() -> None:
    given = 0.97 * RARE + 0.015 * (1 - RARE)
    true = float((2 * 0.97 * RARE / (RARE + given)).mean())
    draw = np.random.default_rng(12)
    found = [macro_f1(*rare_label(draw, 500)) for _ in range(3_000)]
    held = sum(one is not None and one.low <= true <= one.high for one in found)
    assert held >= 2_790  # 93 in 100
    assert np.median([one.high - one.low for one in found if one is not None]) < 0.25
