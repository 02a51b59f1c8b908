"""Numbers counted by hand, and models whose calibration is known because they were made from it."""

import numpy as np
import pytest

from modelyard.evidence.calibration import (
    calibration_interval,
    cross_fitted_loss,
    expected_calibration_error,
    fit_temperature,
    log_loss,
)


def made(rows: int, temperature: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits and truths: the truth is drawn with the probabilities of the logits at temperature 1, then times T."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0.0, 2.0, (rows, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (draw.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return logits * temperature, truth


def test_the_error_by_hand() -> None:
    # 15 rows are 15 bins of one row each: the mean of |confidence - right|
    confidence = np.linspace(0.5, 0.95, 15)
    right = np.arange(15) % 2 == 0
    assert expected_calibration_error(confidence, right) == pytest.approx(np.abs(confidence - right).mean())
    # 30 rows in pairs: 0.7 right once of twice is a gap of 0.2 in every bin
    assert expected_calibration_error(np.full(30, 0.7), np.arange(30) % 2 == 0) == pytest.approx(0.2)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0.0


def test_the_interval_holds_the_error_of_a_model_that_is_too_sure() -> None:
    confidence = np.full(3000, 0.9)
    right = np.random.default_rng(3).random(3000) < 0.7
    found = calibration_interval(confidence, right)
    assert found.low < 0.2 < found.high
    assert found.high - found.low < 0.06
    assert (found.unit, found.n) == ("fraction", 3000)
    assert calibration_interval(confidence, right) == found  # seeded


def test_log_loss_by_hand() -> None:
    logits = np.array([[0.0, 0.0], [np.log(3.0), 0.0], [1000.0, 0.0]])
    # 1/2, 3/4 for the first label so 1/4 for the second, and no overflow
    assert log_loss(logits, np.array([0, 1, 0])).tolist() == pytest.approx([np.log(2), np.log(4), 0.0])
    assert log_loss(logits[1:2] * 2, np.array([1]), 2.0).tolist() == pytest.approx([np.log(4)])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_comes_out(temperature: float) -> None:
    logits, truth = made(20_000, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.05)


def test_a_fit_that_learns_nothing_does_not_help_on_rows_not_seen() -> None:
    logits, truth = made(5000, 3.0)
    assert cross_fitted_loss(logits, truth).mean() < log_loss(logits, truth).mean() - 0.1
    logits, truth = made(5000, 1.0)
    assert cross_fitted_loss(logits, truth).mean() == pytest.approx(log_loss(logits, truth).mean(), abs=0.002)
