"""What the report says about a trained classifier: how often it is right on validation, and what it gained."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.artifacts.prepared import scopes
from modelyard.evidence.interval import at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.paired import drop, tango
from modelyard.evidence.proportion import wilson
from modelyard.evidence.ratio import ratio_of_sums
from modelyard.evidence.report import Measurement

SUBJECT = "validation"
_LEARN = "look at the labels, train for more epochs, or name a base model that knows the language of the rows"


def accuracies(right: NDArray[np.bool_], frame: pl.DataFrame, slices: Sequence[str]) -> list[Measurement]:
    """Accuracy with Wilson's interval: overall, of each slice and of each class (rows that have that label).

    Args:
        right: whether each row's answer is its label, shape (rows,).
        frame: the same rows in the same order, with their `label`.
        slices: columns of `frame`.
    """
    return _shares_right("accuracy", right, [everything(frame), *scopes(frame, label="label", slices=slices)])


def exact_matches(right: NDArray[np.bool_], frame: pl.DataFrame, slices: Sequence[str]) -> list[Measurement]:
    """Share of the rows that were given all their labels and no other, with Wilson's interval: overall, of each slice.

    Args:
        right: whether a row was, shape (rows,).
        frame: the same rows in the same order.
        slices: columns of `frame`.
    """
    return _shares_right("exact_match", right, [everything(frame), *scopes(frame, label=None, slices=slices)])


def everything(frame: pl.DataFrame) -> tuple[str, NDArray[np.bool_]]:
    """The scope of all rows, as `scopes` gives those of some."""
    return "overall", np.ones(frame.height, dtype=np.bool_)


def _shares_right(
    name: str, right: NDArray[np.bool_], parts: Sequence[tuple[str, NDArray[np.bool_]]]
) -> list[Measurement]:
    intervals = [(scope, wilson(int(right[rows].sum()), int(rows.sum()))) for scope, rows in parts]
    return [Measurement(name=name, scope=scope, subject=SUBJECT, interval=interval) for scope, interval in intervals]


def better_than_majority(
    right: NDArray[np.bool_], label_indices: NDArray[np.signedinteger], train_indices: NDArray[np.signedinteger]
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
        next_step=_LEARN,
    )


def better_than_shares(
    losses: NDArray[np.float64], labels: NDArray[np.signedinteger], train: NDArray[np.signedinteger]
) -> Verdict:
    """Whether the model has learned anything: its loss against that of giving each label its share of train's rows.

    That answer is the best one that does not read the text. Its shares are Laplace's, (rows with the label + 1) over
    (rows + 2), so that a label that every row has, or none, costs no infinite loss where validation differs. The mean
    difference of the same rows is to be at most zero; FAIL is a model that does worse.

    Args:
        losses: of each validation row in nats, the mean over its labels, shape (rows,).
        labels: as in `Rows`, shape (rows, labels).
        train: those of the train rows.
    """
    shares = (train.sum(axis=0, dtype=np.int64) + 1) / (len(train) + 2)
    difference = losses - np.where(labels == 1, -np.log(shares), -np.log1p(-shares)).mean(axis=1)
    return judge(
        ratio_of_sums(difference, np.ones(len(losses)), unit="nats"),
        at_most(0.0),
        rule="better_than_shares",
        scope=f"split:{SUBJECT}",
        severity="warning",
        next_step=_LEARN,
    )
