"""Confident learning on held-out probabilities, and a cut by how often a label stands where it cannot belong.

Northcutt, Jiang and Chuang (2021), Confident learning: estimating uncertainty in dataset labels, JAIR 70: a class's
threshold is the mean probability of that class among the rows labelled so; a row is confidently of the likeliest class
whose threshold it reaches; the confident joint counts given against confident labels.

The paper then takes every confident disagreement for an error. Where the model is weak most of those are its own: of
reviews with 5% of the labels flipped, 3 to 4 in 10 are flips (benchmarks/label_noise.py). So the cut here rests on a
second quantity, the *background rate*: how often a label stands on the rows that look least like it. Noise that does
not depend on the text puts a label on any text equally often, so the lowest probability of a label over all texts
bounds its noise rate from above (Liu and Tao 2016, Classification with noisy labels by importance reweighting, TPAMI
38). A row is flagged where the background explains its label better than its text does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from modelyard.evidence.interval import Interval
from modelyard.evidence.proportion import wilson

TAIL = 0.1
"""Of the rows that do not have a label, the share that looks least like it. With 16 classes any share from 0.05 to 0.2
flags about the same rows; with two classes and hard texts a wider tail takes in more of the model's own errors."""
TAIL_ROWS = 4_000
"""Of a set so large that a tenth is more, the tail is no larger: it then holds the surest rows only."""
BINS = 200
"""Of equally many probabilities each, for the calibration."""
MAX_CELLS = 4_000_000
"""Probabilities that the calibration is made from; more are thinned out evenly."""

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]


def class_thresholds(probabilities: Floats, given: Labels) -> NDArray[np.float64]:
    """Mean probability of each class among the rows labelled so; 1 for a class without a row.

    Args:
        probabilities: shape (rows, classes), from models that have not seen the row.
        given: shape (rows,), the label each row has.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(given)), given].astype(np.float64)
    counts = np.bincount(given, minlength=classes)
    sums = np.bincount(given, weights=own, minlength=classes)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), 1.0))


def confident_labels(probabilities: Floats, thresholds: NDArray[np.float64]) -> Labels:
    """The likeliest class whose threshold a row reaches; -1 where it reaches none."""
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    best = reached.argmax(axis=1)
    return np.where(reached[np.arange(len(best)), best] >= 0, best, -1).astype(np.int32)


def confident_joint(given: Labels, confident: Labels, classes: int) -> NDArray[np.int64]:
    """Rows by given (first axis) and confident label (second), those without a confident one left out."""
    has = confident >= 0
    cells = np.bincount(given[has].astype(np.int64) * classes + confident[has], minlength=classes * classes)
    return cells.reshape(classes, classes)


@dataclass(frozen=True)
class Background:
    """What is known about labels that stand where they cannot belong.

    Attributes:
        rate: how often a label stands on a row that looks least like it, over all classes.
        noise: the rate of wrong labels that follows, as a fraction of rows: an upper bound.
        steps: probabilities in rising order, and how often a label of that probability stands: a step function.
    """

    rate: Interval
    noise: Interval
    steps: tuple[NDArray[np.float64], NDArray[np.float64]]

    def wrong(self, probability: Floats, rate: float) -> NDArray[np.float64]:
        """The probability that a label is wrong, by the held-out probability of that label.

        Of rows that look alike, the share `rate` has the label by noise; the calibration says what share has it at all.

        Args:
            probability: shape (rows,).
            rate: the estimate of the background rate, or an end of its interval.
        """
        stands = np.interp(probability, *self.steps)
        return np.asarray(rate / np.maximum(stands, rate)) if rate else np.zeros(len(probability))


def background(probabilities: Floats, given: Labels) -> Background:
    """Background rate, noise rate and calibration.

    With K classes and noise that picks any wrong class alike, a row is mislabelled with K - 1 times the rate at which
    one given class stands where it does not belong; the tails are in proportion to the rows without the label, which
    makes this the weighted sum over classes for noise of any other mixture too.

    Args:
        probabilities: shape (rows, classes), held out.
        given: shape (rows,).
    """
    rows, classes = probabilities.shape
    counts = np.bincount(given, minlength=classes)
    found, seen, part = 0, 0, min(TAIL, TAIL_ROWS / rows)
    for label in range(classes):
        size = int(np.ceil(part * (rows - counts[label])))
        if size:
            tail = np.argpartition(probabilities[:, label], size - 1)[:size]
            found += int(np.count_nonzero(given[tail] == label))
            seen += size
    share = wilson(found, seen)
    scale = {end: min(1.0, (classes - 1) * getattr(share, end)) for end in ("low", "estimate", "high")}
    noise = Interval(**scale, n=rows, unit="fraction", method="wilson")
    return Background(share, noise, _calibration(probabilities, given))


def _calibration(probabilities: Floats, given: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often a label of a given probability stands: isotonic regression over equally filled bins.

    Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD.
    """
    step = -(-probabilities.size // MAX_CELLS)
    thinned = probabilities[::step]
    stands = np.zeros(thinned.shape, dtype=bool)
    stands[np.arange(len(thinned)), given[::step]] = True
    order = np.argsort(thinned, axis=None, kind="stable")
    edges = np.unique(np.linspace(0, order.size, min(BINS, order.size) + 1).astype(np.int64))
    sizes = np.diff(edges)
    means = np.add.reduceat(thinned.ravel()[order].astype(np.float64), edges[:-1]) / sizes
    shares = np.add.reduceat(stands.ravel()[order].astype(np.float64), edges[:-1]) / sizes
    return means, np.asarray(isotonic_regression(shares, weights=sizes).x)
