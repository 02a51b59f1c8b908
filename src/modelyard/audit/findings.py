"""What the audit judges, from answers that others gathered: pure functions of arrays."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.artifacts.prepared import scopes
from modelyard.compression.companions import LOGIT_TOLERANCE
from modelyard.engines.base import Logits
from modelyard.evidence.calibration import (
    TEMPERATURES,
    calibration_interval,
    cross_fitted_loss,
    fit_temperature,
    log_loss,
)
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.paired import bca
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement
from modelyard.tasks.classification import correct, softmax

MINIMUM_ROWS = 50
"""Validation rows below which no temperature is fitted: ten a fold."""
_EDGE = 1.01
"""A temperature within 1% of either end of the search is where the search stopped, not where the loss is least."""


def judge_served(engine: Logits, served: Logits, *, subject: str) -> Verdict:
    """The release verdict `parity_served`: rows, each asked alone, that HTTP answers otherwise than the engine does.

    Args:
        engine: the chosen engine's logits, shape (rows, labels).
        served: the service's logits of the same rows.
        subject: name of the candidate.
    """
    gap = np.abs(engine.astype(np.float64) - served).max(axis=1)
    differs = ~(gap <= LOGIT_TOLERANCE)  # not `>`: NaN compares false
    return judge(
        Interval.exact(float(differs.sum()), n=len(engine), unit="rows"),
        at_most(0),
        rule="parity_served",
        subject=subject,
        next_step=f"do not serve it, report it: the largest difference is {gap.max():.2g}, allowed {LOGIT_TOLERANCE:g}",
    )


@dataclass(frozen=True)
class Calibrated:
    """A temperature, what was judged of it, and a sentence; 1 where it does not certainly help."""

    temperature: float
    verdict: Verdict | None
    note: str


def calibrate(logits: Logits, truth: NDArray[np.int64], *, subject: str) -> Calibrated:
    """Fit a temperature on validation rows and keep it only where it certainly lowers the log loss of rows not seen.

    Args:
        logits: of the validation rows, shape (rows, labels).
        truth: index of each row's label, shape (rows,).
        subject: name of the candidate.

    Returns:
        The candidate verdict `temperature` judges the paired difference in log loss, after minus before, each row's
        temperature fitted without it: its whole interval at most 0. None with fewer than 50 rows, without a mistake on
        validation, where any temperature nearer to zero is better until the loss is nothing and the first mistake of
        the service would be made with a probability of 1, and where the best lies outside of what is searched.
    """
    if len(truth) < MINIMUM_ROWS:
        return Calibrated(1.0, None, f"no temperature was fitted: validation has fewer than {MINIMUM_ROWS} rows")
    if correct(logits, truth).all():
        return Calibrated(1.0, None, "no temperature was fitted: validation has no mistake to fit one by")
    wide = logits.astype(np.float64)
    temperature, (least, most) = fit_temperature(wide, truth), TEMPERATURES
    if not least * _EDGE < temperature < most / _EDGE:
        return Calibrated(1.0, None, f"no temperature is stored: the best is not between {least:g} and {most:g}")
    difference = bca(cross_fitted_loss(wide, truth), log_loss(wide, truth), np.mean, seed=0, unit="nats")
    verdict = judge(
        difference,
        at_most(0.0),
        rule="temperature",
        scope="split:validation",
        kind="candidate",
        subject=subject,
        next_step="probabilities are served as the model gives them",
    )
    if verdict.outcome == "PASS":
        note = f"probabilities are served at temperature {temperature:.3f}, fitted on validation"
        return Calibrated(temperature, verdict, note)
    note = "no temperature is stored: it does not certainly lower the log loss of rows not seen"
    return Calibrated(1.0, verdict, note)


def calibration(logits: Logits, right: NDArray[np.bool_], temperature: float, *, subject: str) -> list[Measurement]:
    """Expected calibration error on test, as the model is and with its temperature."""
    found = []
    for name, value in (("calibration_error_before", 1.0), ("calibration_error", temperature)):
        confidence = softmax(logits, value).max(axis=1)
        found.append(
            Measurement(
                name=name, scope="split:test", subject=subject, interval=calibration_interval(confidence, right)
            )
        )
    return found


def accuracies(frame: pl.DataFrame, right: NDArray[np.bool_], slices: list[str], *, subject: str) -> list[Measurement]:
    """Accuracy as served: overall, by slice and by class, each with its Wilson interval."""
    parts = [("overall", np.ones(right.size, dtype=bool)), *scopes(frame, label="label", slices=slices)]
    return [
        Measurement(
            name="accuracy", scope=scope, subject=subject, interval=wilson(int(right[rows].sum()), int(rows.sum()))
        )
        for scope, rows in parts
    ]
