"""What the report says, against hand counts and statsmodels; the gate passes, fails and cannot tell."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint

from modelyard.training.findings import accuracies, better_than_majority


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
