"""Verdicts of the audit from answers made by hand, on both sides of each limit."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.audit.findings import accuracies, calibrate, calibration, judge_served
from modelyard.compression.companions import judge_flips


def logits(rows: int, flipped: int = 0, shift: float = 0.0) -> Any:
    """Label 0 wins by 1, but in the first `flipped` rows label 1."""
    found = np.tile(np.float32([1.0, 0.0]), (rows, 1))
    found[:flipped] = [0.0, 1.0]
    found[:, 0] += np.float32(shift)
    return found


@pytest.mark.parametrize(("shift", "outcome"), [(0.0, "PASS"), (5e-6, "PASS"), (5e-5, "FAIL"), (np.nan, "FAIL")])
def test_http_answers_what_the_engine_does(shift: float, outcome: str) -> None:
    verdict = judge_served(logits(40), logits(40, shift=shift), subject="int8")
    assert (verdict.rule, verdict.kind, verdict.outcome) == ("parity_served", "release", outcome)
    assert verdict.interval is not None
    assert verdict.interval.estimate == (0 if outcome == "PASS" else 40)


# Wilson of k in 2,000 as in tests/compression/test_companions.py
@pytest.mark.parametrize(
    ("flips", "batch_rows", "outcome"),
    [(0, 32, "PASS"), (3, 32, "PASS"), (4, 32, "INCONCLUSIVE"), (17, 32, "FAIL"), (0, 1, "PASS"), (11, 1, "FAIL")],
)
def test_labels_that_change_in_a_batch(flips: int, batch_rows: int, outcome: str) -> None:
    verdict = judge_flips(logits(2000), logits(2000, flips), batch_rows=batch_rows, subject="int8")
    assert (verdict.rule, verdict.kind, verdict.outcome) == ("batch_flips", "candidate", outcome)


def made(rows: int, temperature: float) -> tuple[Any, Any]:
    draw = np.random.default_rng(1)
    plain = draw.normal(0.0, 2.0, (rows, 3))
    chances = np.exp(plain) / np.exp(plain).sum(axis=1, keepdims=True)
    truth = (draw.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return (plain * temperature).astype(np.float32), truth


def test_a_temperature_is_kept_only_where_it_certainly_helps() -> None:
    sure = calibrate(*made(2000, 2.5), subject="int8")
    assert sure.verdict is not None and sure.verdict.outcome == "PASS"
    assert sure.temperature == pytest.approx(2.5, rel=0.1)
    fine = calibrate(*made(2000, 1.0), subject="int8")
    assert fine.verdict is not None and fine.verdict.outcome != "PASS"
    assert fine.temperature == 1.0
    few = calibrate(*made(49, 2.5), subject="int8")
    assert (few.temperature, few.verdict) == (1.0, None)


@pytest.mark.parametrize("gap", [1.0, 7.0])  # at 7 the loss is nothing at a temperature of 0.2 already
@pytest.mark.parametrize("rows", [60, 2000])
def test_where_validation_has_no_mistake_nothing_is_known_of_one(rows: int, gap: float) -> None:
    truth = np.arange(rows) % 2
    found = np.where(np.eye(2)[truth] > 0, np.linspace(gap, gap + 1, rows)[:, None], 0.0).astype(np.float32)
    calibrated = calibrate(found, truth, subject="int8")
    assert (calibrated.temperature, calibrated.verdict) == (1.0, None)
    assert "no mistake" in calibrated.note


def test_a_temperature_at_the_end_of_the_search_is_none() -> None:
    flat = calibrate(np.zeros((60, 2), dtype=np.float32), np.arange(60) % 2, subject="int8")
    assert (flat.temperature, flat.verdict) == (1.0, None)
    assert "not between 0.05 and 20" in flat.note


def test_calibration_is_shown_before_and_after() -> None:
    found, truth = made(3000, 3.0)
    before, after = calibration(found, found.argmax(axis=1) == truth, 3.0, subject="int8")
    assert (before.name, after.name) == ("calibration_error_before", "calibration_error")
    assert before.interval.low > after.interval.high  # too sure by far, then right


def test_accuracy_overall_by_slice_and_by_class() -> None:
    frame = pl.DataFrame({"label": ["a", "a", "b", "b"], "site": ["x", "y", "x", "y"]})
    found = accuracies(frame, np.array([True, False, True, True]), ["site"], subject="int8")
    assert {one.scope: one.interval.estimate for one in found} == {
        "overall": 0.75,
        "slice:site=x": 1.0,
        "slice:site=y": 0.5,
        "class:a": 0.5,
        "class:b": 1.0,
    }
