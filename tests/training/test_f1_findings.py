"""Which F1 are told of which rows and labels, and what is said where some have none."""

import numpy as np
import polars as pl
import pytest

from modelyard.evidence.f1 import f1, macro_f1
from modelyard.training.f1_findings import f1_of_labels, f1s, told_macro_f1

TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]) == 1
GIVEN = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]) == 1
FRAME = pl.DataFrame({"site": ["film", "film", "phone", None]})


def test_overall_and_by_slice() -> None:
    found = f1s(macro_f1, "macro_f1", TRUTH, GIVEN, FRAME, ["site"])
    assert [(item.name, item.subject, item.scope, item.interval.estimate) for item in found] == [
        ("macro_f1", "validation", "overall", pytest.approx((1 + 2 / 3) / 2)),
        ("macro_f1", "validation", "slice:site=film", pytest.approx((1 + 0) / 2)),
        ("macro_f1", "validation", "slice:site=phone", 1.0),
    ]  # of the row without a site nothing is known: it has no label and was given none
    together = f1s(f1, "micro_f1", TRUTH, GIVEN, FRAME, [])
    assert [(item.scope, item.interval.estimate) for item in together] == [("overall", pytest.approx(6 / 7))]


def test_of_each_label_that_there_is() -> None:
    found = f1_of_labels(TRUTH, GIVEN, ["退款", "b", "c"])
    assert [(item.name, item.scope, item.interval.estimate) for item in found] == [
        ("f1", "class:退款", 1.0),
        ("f1", "class:b", pytest.approx(2 / 3)),
    ]


def test_the_sentence_says_over_how_many_labels() -> None:
    whole = told_macro_f1(TRUTH[:, :2], GIVEN[:, :2])
    assert whole.startswith("; macro-F1 83.33%, ") and "over" not in whole
    some = told_macro_f1(TRUTH, GIVEN)
    assert some == whole + " over 2 of the 3 labels: no row has the others or is given them"
    assert "no F1" in told_macro_f1(TRUTH[3:], GIVEN[3:])
