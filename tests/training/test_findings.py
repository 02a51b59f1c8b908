"""What the report says, against hand counts and statsmodels; the gate passes, fails and cannot tell."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint

from modelyard.training.findings import accuracies, better_than_majority, better_than_shares, exact_matches


def test_accuracies_by_scope() -> None:
    right = np.array([True, True, False, True, False, True])
    frame = pl.DataFrame(
        {"label": ["bad"] * 3 + ["good"] * 3, "site": ["film", "phone", "film", "(none)", "phone", "film"]}
    )
    found = {item.scope: item.interval for item in accuracies(right, frame, ["site"])}
    assert {scope: (interval.estimate, interval.n) for scope, interval in found.items()} == {
        "overall": (4 / 6, 6),
        "slice:site=(none)": (1, 1),
        "slice:site=film": (2 / 3, 3),
        "slice:site=phone": (1 / 2, 2),
        "class:bad": (2 / 3, 3),
        "class:good": (2 / 3, 3),
    }
    low, high = proportion_confint(4, 6, method="wilson")
    assert (found["overall"].low, found["overall"].high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("right_of_majority", "right_of_minority", "outcome"),
    [
        (58, 35, "PASS"),  # 93% where the majority has 60%
        (60, 0, "INCONCLUSIVE"),  # always the majority's answer: a gain of exactly zero
        (40, 20, "INCONCLUSIVE"),  # as many right, on other rows
        (10, 5, "FAIL"),  # 15%
    ],
)
def test_better_than_majority(right_of_majority: int, right_of_minority: int, outcome: Any) -> None:
    labels = np.repeat([1, 0], [60, 40])
    right = np.concatenate([np.arange(60) < right_of_majority, np.arange(40) < right_of_minority])
    verdict = better_than_majority(right, labels, np.array([1, 1, 0]))
    assert verdict.outcome == outcome
    assert verdict.interval is not None
    assert verdict.interval.estimate == pytest.approx((right.sum() - 60) / 100)
    assert (verdict.severity, verdict.blocks) == ("warning", False)


def test_the_majority_is_that_of_train() -> None:
    verdict = better_than_majority(np.array([True] * 10), np.array([0] * 10), np.array([1, 1, 0]))
    assert verdict.interval is not None
    assert verdict.interval.estimate == 1.0  # train's majority never is the answer here


@pytest.mark.parametrize(
    ("surer", "outcome"),
    [
        (0.2, "PASS"),
        (0.0, "INCONCLUSIVE"),  # the shares themselves
        (-0.2, "FAIL"),
    ],
)
def test_better_than_shares(surer: float, outcome: Any) -> None:
    """Train: 3 of 8 rows have the first label and all the second: shares (3 + 1) / 10 and (8 + 1) / 10."""
    train = np.array([[1, 1]] * 3 + [[0, 1]] * 5, dtype=np.int8)
    labels = np.array([[1, 1], [0, 1], [0, 0], [0, 1]] * 10, dtype=np.int8)
    shares = np.array([0.4, 0.9])
    chances = np.where(labels == 1, shares, 1 - shares)
    verdict = better_than_shares(-np.log(chances).mean(axis=1) - surer * (1 - chances).mean(axis=1), labels, train)
    assert (verdict.rule, verdict.outcome, verdict.severity) == ("better_than_shares", outcome, "warning")
    assert verdict.interval is not None and verdict.interval.unit == "nats"
    # what a row is surer by: 0.6 and 0.1, 0.4 and 0.1, 0.4 and 0.9, 0.4 and 0.1 of the two labels' chances
    assert verdict.interval.estimate == pytest.approx(-surer * (0.35 + 0.25 + 0.65 + 0.25) / 4)


def test_better_than_shares_of_one_row_is_open() -> None:
    one = np.array([[1]], dtype=np.int8)
    assert better_than_shares(np.array([0.01]), one, one).outcome == "INCONCLUSIVE"


def test_exact_matches_by_scope() -> None:
    frame = pl.DataFrame({"site": ["film", "phone", "film"]})
    found = exact_matches(np.array([True, False, True]), frame, ["site"])
    assert [(item.name, item.scope, item.interval.estimate, item.interval.method) for item in found] == [
        ("exact_match", "overall", 2 / 3, "wilson"),
        ("exact_match", "slice:site=film", 1.0, "wilson"),
        ("exact_match", "slice:site=phone", 0.0, "wilson"),
    ]
