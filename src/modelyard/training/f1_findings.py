"""What the report says of a classifier's F1 on validation: of each label, of all together, their mean; by slice."""

from collections.abc import Callable, Sequence

import polars as pl

from modelyard.artifacts.prepared import scopes
from modelyard.evidence.f1 import Marks, f1, judged_labels, macro_f1
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Measurement
from modelyard.training.findings import SUBJECT, everything


def f1s(
    measure: Callable[[Marks, Marks], Interval | None],
    name: str,
    truth: Marks,
    given: Marks,
    frame: pl.DataFrame,
    slices: Sequence[str],
) -> list[Measurement]:
    """An F1 overall and of each slice, but for those where no row has a label or is given one.

    Args:
        measure: `f1` or `macro_f1`.
        name: of the measurement.
        truth: shape (rows, labels).
        given: the same.
        frame: the same rows in the same order.
        slices: columns of `frame`.
    """
    parts = [everything(frame), *scopes(frame, label=None, slices=slices)]
    return _measured(name, [(scope, measure(truth[rows], given[rows])) for scope, rows in parts])


def f1_of_labels(truth: Marks, given: Marks, labels: Sequence[str]) -> list[Measurement]:
    """F1 of each label that a row has or is given.

    Args:
        truth: shape (rows, labels).
        given: the same.
        labels: names in this order.
    """
    columns = [(f"class:{label}", slice(number, number + 1)) for number, label in enumerate(labels)]
    return _measured("f1", [(scope, f1(truth[:, column], given[:, column])) for scope, column in columns])


def told_macro_f1(truth: Marks, given: Marks) -> str:
    """The end of a sentence; it says over how many of the labels where some are left out."""
    found = macro_f1(truth, given)
    if found is None:
        return "; no F1: no row has a label or is given one"
    judged, labels = judged_labels(truth, given), truth.shape[1]
    some = "" if judged == labels else f" over {judged} of the {labels} labels: no row has the others or is given them"
    return f"; macro-F1 {found.estimate:.2%}, {found.low:.2%} to {found.high:.2%}{some}"


def _measured(name: str, found: Sequence[tuple[str, Interval | None]]) -> list[Measurement]:
    return [
        Measurement(name=name, scope=scope, subject=SUBJECT, interval=interval)
        for scope, interval in found
        if interval is not None
    ]
