"""The paired gate: how much accuracy a compressed model loses, overall, in every slice and in every class."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.artifacts.prepared import scopes
from modelyard.evidence.holm import holm, paired_p_value
from modelyard.evidence.interval import at_most
from modelyard.evidence.judge import Kind, Outcome, Verdict, judge
from modelyard.evidence.paired import drop, samples_for_drop, tango


def judge_drop(
    reference_right: NDArray[np.bool_],
    candidate_right: NDArray[np.bool_],
    frame: pl.DataFrame,
    *,
    label: str = "label",
    slices: Sequence[str],
    drop_max: float,
    slice_drop_max: float,
    kind: Kind,
    subject: str,
) -> list[Verdict]:
    """Judge the drop in accuracy from the reference to the candidate on the same rows.

    Overall, every slice and every class must pass, each at its own 95% level: an intersection-union test needs no
    correction (Berger 1982, Multiparameter hypothesis testing and acceptance sampling, Technometrics 24: 295-300).

    Args:
        reference_right: shape (rows,), whether the trained model's label is right.
        candidate_right: shape (rows,), the same rows in the same order.
        frame: the rows, with the label column and the slice columns, all strings.
        label: name of the label column.
        slices: names of the slice columns.
        drop_max: largest drop overall, a fraction.
        slice_drop_max: largest drop of a slice or class, a fraction.
        kind: `candidate` to choose, `release` to decide.
        subject: name of the candidate.

    Returns:
        The rule `drop_max` with scope `overall`, then the rule `slice_drop_max` with scope `slice:COLUMN=VALUE` for
        each slice column in the order given and `class:LABEL`, values in alphabetical order.

    Raises:
        ValueError: the three do not have the same number of rows, or none.
    """
    if not len(reference_right) == len(candidate_right) == frame.height:
        raise ValueError(f"rows differ: {len(reference_right)}, {len(candidate_right)} and {frame.height}")

    def one(rule: str, scope: str, rows: NDArray[np.bool_], limit: float) -> Verdict:
        count = drop(reference_right[rows], candidate_right[rows])
        needed = samples_for_drop(*count, limit)
        return judge(
            tango(*count), at_most(limit), rule=rule, scope=scope, kind=kind, subject=subject, samples_needed=needed
        )

    everything = np.ones(frame.height, dtype=np.bool_)
    verdicts = [one("drop_max", "overall", everything, drop_max)]
    verdicts += [
        one("slice_drop_max", scope, rows, slice_drop_max) for scope, rows in scopes(frame, label=label, slices=slices)
    ]
    return verdicts


def outcome_of(verdicts: Sequence[Verdict]) -> Outcome:
    """Of several verdicts that must all pass: FAIL if any failed, else INCONCLUSIVE if any is, else PASS."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return "FAIL" if "FAIL" in outcomes else "INCONCLUSIVE" if "INCONCLUSIVE" in outcomes else "PASS"


def name_losing_scopes(
    reference_right: NDArray[np.bool_],
    candidate_right: NDArray[np.bool_],
    frame: pl.DataFrame,
    *,
    label: str = "label",
    slices: Sequence[str],
) -> list[str]:
    """Slices and classes that certainly lost accuracy, by Holm's method at a family-wise 5%; most certain first."""
    p_values = {}
    for scope, rows in scopes(frame, label=label, slices=slices):
        b, c, _ = drop(reference_right[rows], candidate_right[rows])
        p_values[scope] = paired_p_value(b, c)
    return holm(p_values)
