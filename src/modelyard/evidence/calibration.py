"""Calibration: whether an answer given with 80% is right in 80% of cases, and the one number that mends it."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from modelyard.evidence.interval import Interval

BINS = 15
"""As in Guo, Pleiss, Sun and Weinberger 2017, On calibration of modern neural networks, ICML."""
RESAMPLES = 2000
TEMPERATURES = (0.05, 20.0)
"""Searched for the temperature: outside of it a classifier is all but always or all but never sure."""
FOLDS = 5


def expected_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Mean gap between confidence and share of right answers, over 15 bins that hold equally many rows.

    Bins of equal mass are less biased than bins of equal width (Roelofs, Cain, Shlens and Mozer 2022, Mitigating bias
    in calibration error estimation, AISTATS).

    Args:
        confidence: probability of each row's winning label, shape (rows,), at least one row.
        right: whether that label is the true one, shape (rows,).
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if part.size]
    gaps = [part.size * abs(float(confidence[part].mean()) - float(right[part].mean())) for part in parts]
    return sum(gaps) / confidence.size


def calibration_interval(confidence: NDArray[np.float64], right: NDArray[np.bool_], *, seed: int = 0) -> Interval:
    """The expected calibration error with the 95% interval of its percentile bootstrap, unit `fraction`.

    The error is a mean of absolute gaps and cannot be negative: noise alone makes it larger than zero, most of all on
    few rows, and the interval with it. It is an upper estimate.

    Args:
        confidence: as in `expected_calibration_error`.
        right: the same.
        seed: of the resampling.
    """
    estimate = expected_calibration_error(confidence, right)
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        rows = draw.integers(0, confidence.size, confidence.size)
        found.append(expected_calibration_error(confidence[rows], right[rows]))
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(
        low=min(estimate, float(low)),
        estimate=estimate,
        high=max(estimate, float(high)),
        n=confidence.size,
        unit="fraction",
        method="bootstrap",
    )


def log_loss(logits: NDArray[np.float64], truth: NDArray[np.int64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Negative logarithm of each row's probability of its true label, in nats, shape (rows,).

    Args:
        logits: shape (rows, labels).
        truth: index of each row's label, shape (rows,).
        temperature: logits are divided by it.
    """
    scaled = logits / temperature
    largest = scaled.max(axis=1)
    total = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
    return np.asarray(total - scaled[np.arange(len(truth)), truth])


def fit_temperature(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The temperature with the least mean log loss on these rows (Guo et al. 2017, section 4.2).

    The loss is convex in 1 / temperature, so that a bounded search finds the least one.
    """

    def loss(logarithm: float) -> float:
        return float(log_loss(logits, truth, float(np.exp(logarithm))).mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def cross_fitted_loss(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log loss of each row at the temperature fitted on the other four fifths: what it would be on rows not seen.

    Args:
        logits: shape (rows, labels), at least 5 rows.
        truth: index of each row's label, shape (rows,).
    """
    found = np.empty(len(truth))
    for fold in range(FOLDS):
        own = np.arange(len(truth)) % FOLDS == fold
        found[own] = log_loss(logits[own], truth[own], fit_temperature(logits[~own], truth[~own]))
    return found
