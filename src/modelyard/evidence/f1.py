"""F1 of answers that are given or not, of one label and of several, with an interval over rows.

F1 is the harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn) (Van Rijsbergen 1979, Information Retrieval,
chapter 7, at beta 1). Here it is taken as a function of the Jaccard index J = tp / (tp + fp + fn), F1 = 2 J / (1 + J):
of one label J is a plain proportion, of the rows that have the label or were given it those that did both, so that
Wilson's interval of J gives that of F1, and a few rows that are all right make nothing certain.

Of several labels counted together, or of the mean of their F1, J takes the linearised variance over rows (Cochran 1977,
Sampling techniques, 3rd edition, equation 6.13; Takahashi et al. 2022, Confidence interval for micro-averaged F1 and
macro-averaged F1 scores, Applied Intelligence 52: 4961-4972, which is the same for one label a row) and Wilson's
interval the effective number of rows, J (1 - J) / variance (Korn and Graubard 1998, Confidence intervals for
proportions with small expected number of positive counts estimated from survey data, Survey Methodology 24: 193-201).
A label all of whose rows are right, or none, has no such variance: the distances to the ends of its own interval are
squared and added (Zou and Donner 2008, Construction of confidence limits about effect measures, Statistics in Medicine
27: 1693-1702). The ends stay in [0, 1].
"""

import math

import numpy as np
from numpy.typing import NDArray

from modelyard.evidence.interval import Interval
from modelyard.evidence.proportion import wilson_ends

Marks = NDArray[np.bool_]
"""Shape (rows, labels): whether a row has a label, or whether it was given it."""
_BLOCK = 4_096  # rows whose marks are numbers of eight bytes at once


def f1(truth: Marks, given: Marks) -> Interval | None:
    """F1 of all labels counted together: micro-F1, or of one label where there is one column. Unit `fraction`.

    Args:
        truth: shape (rows, labels).
        given: the same rows and labels.

    Returns:
        `n` are the rows that have a label or were given one. None where there is no such row: 0 / 0.
    """
    right, either = (truth & given).sum(axis=1), (truth | given).sum(axis=1)
    total = int(either.sum())
    if total == 0:
        return None
    share = float(right.sum()) / total
    variance = float(np.square(right - share * either).sum()) / total**2
    return _interval(float(_f1_of(share)), variance, int(np.count_nonzero(either)), total)


def macro_f1(truth: Marks, given: Marks) -> Interval | None:
    """Mean of the labels' F1, each counting the same. Unit `fraction`.

    A label that no row has and none was given says nothing (0 / 0) and is left out: `judged_labels` counts the others.
    A label all of whose rows are right, or none, tells no correlation with others. With one label a row an error is one
    of two labels, so that its correlations add up to one at most: such a label counts twice, a single one once.

    With twenty rows a label or more it covers as it says. F1 is concave in J: over many labels of a few rows each the
    mean itself is too low on average, and the interval with it (50 labels of 6 rows: it holds the truth 86 times in
    100).

    Args:
        truth: shape (rows, labels).
        given: the same rows and labels.

    Returns:
        As `f1`.
    """
    right, either = truth & given, truth | given
    rows = int(np.count_nonzero(either.any(axis=1)))
    if rows == 0:
        return None
    judged = either.any(axis=0)
    right, either = right[:, judged], either[:, judged]
    totals, labels = either.sum(axis=0), int(judged.sum())
    shares = right.sum(axis=0) / totals
    found = _f1_of(shares)
    estimate = float(found.mean())
    slopes, certain = _slope(shares) / totals, (shares == 0.0) | (shares == 1.0)
    parts = [slice(start, start + _BLOCK) for start in range(0, len(right), _BLOCK)]
    # what each row adds to the mean, times the labels
    of_rows = np.concatenate([right[part] @ slopes - either[part] @ (slopes * shares) for part in parts])
    share = estimate / (2.0 - estimate)
    variance = float(np.square(of_rows).sum()) / (labels * float(_slope(share))) ** 2
    varied = _interval(estimate, variance, rows, int(totals.sum())) if variance > 0.0 else None
    reach = [0.0, 0.0] if varied is None else [estimate - varied.low, varied.high - estimate]
    for side in (0, 1):
        alone = np.array([_f1_of(wilson_ends(shares[label], totals[label])[side]) for label in np.flatnonzero(certain)])
        more = min(labels, 2) * np.square(alone - found[certain]).sum() / labels**2
        reach[side] = math.sqrt(reach[side] ** 2 + float(more))
    return Interval(
        low=max(0.0, estimate - reach[0]),
        estimate=estimate,
        high=min(1.0, estimate + reach[1]),
        n=rows,
        unit="fraction",
        method="wilson-effective",
    )


def judged_labels(truth: Marks, given: Marks) -> int:
    """How many labels `macro_f1` is the mean of."""
    return int((truth | given).any(axis=0).sum())


def _interval(estimate: float, variance: float, rows: int, most: int) -> Interval:
    """The interval of an F1 from the variance of its J, of at most so many effective rows.

    Where everything is right, or nothing, the rows that were looked at count, each as right or wrong as a whole.
    """
    share = estimate / (2.0 - estimate)
    if estimate in (0.0, 1.0):
        effective: float = rows
    else:
        effective = min(most, share * (1.0 - share) / variance) if variance > 0.0 else most
    low, high = (float(_f1_of(end)) for end in wilson_ends(share, effective))
    return Interval(
        low=0.0 if estimate == 0.0 else low,  # exact there, where the formula leaves a rounding error
        estimate=estimate,
        high=1.0 if estimate == 1.0 else high,
        n=rows,
        unit="fraction",
        method="wilson-effective",
    )


def _f1_of(jaccard: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2.0 * jaccard / (1.0 + jaccard))


def _slope(jaccard: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """How fast F1 rises with J."""
    return np.asarray(2.0 / (1.0 + jaccard) ** 2)
