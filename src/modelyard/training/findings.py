"""What the report says about a trained model: its accuracy on validation, overall and by slice and class."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.artifacts.prepared import scopes
from modelyard.evidence.interval import at_least
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.paired import drop, tango
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement

SUBJECT = "validation"


def accuracies(right: NDArray[np.bool_], frame: pl.DataFrame, slices: Sequence[str]) -> list[Measurement]:
    """Accuracy with Wilson's interval: overall, of each slice and of each class (rows that have that label).

    Args:
        right: whether each row's answer is its label, shape (rows,).
        frame: the same rows in the same order, with their `label`.
        slices: columns of `frame`.
    """
    parts = [("overall", np.ones(len(right), dtype=np.bool_)), *scopes(frame, label="label", slices=slices)]
    return [
        Measurement(
            name="accuracy", scope=scope, subject=SUBJECT, interval=wilson(int(right[rows].sum()), int(rows.sum()))
        )
        for scope, rows in parts
    ]


def better_than_majority(
    right: NDArray[np.bool_], label_indices: NDArray[np.int64], train_indices: NDArray[np.int64]
) -> Verdict:
    """Whether the model has learned anything: judged against always answering the most frequent label of train.

    The gain in accuracy over that answer on the same rows, with Tango's interval, is to be at least zero. A model that
    always gives the same answer has a gain of exactly zero and is INCONCLUSIVE; FAIL is one that does worse.

    Args:
        right: whether each validation row's answer is its label, shape (rows,).
        label_indices: index of each validation row's label, shape (rows,).
        train_indices: index of each train row's label.
    """
    majority_right = label_indices == np.bincount(train_indices).argmax()
    return judge(
        tango(*drop(right, majority_right)),
        at_least(0.0),
        rule="better_than_majority",
        scope=f"split:{SUBJECT}",
        severity="warning",
        next_step="look at the labels, train for more epochs, or name a base model that knows the language of the rows",
    )
