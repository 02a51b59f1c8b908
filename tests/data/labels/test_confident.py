"""Confident learning against cleanlab's figures; background rate and calibration by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from modelyard.data.labels import confident
from modelyard.data.labels.confident import background, class_thresholds, confident_joint, confident_labels

# of cleanlab 2.9.0: get_confident_thresholds and compute_confident_joint(calibrate=False) on these rows
PROBABILITIES = np.array(
    [
        [0.02, 0.08, 0.90], [0.40, 0.09, 0.51], [0.94, 0.05, 0.01], [0.25, 0.09, 0.66], [0.13, 0.48, 0.39],
        [0.19, 0.50, 0.31], [0.58, 0.22, 0.20], [0.60, 0.30, 0.10], [0.19, 0.18, 0.63], [0.61, 0.26, 0.13],
        [0.42, 0.46, 0.12], [0.26, 0.73, 0.01], [0.34, 0.39, 0.27], [0.43, 0.25, 0.32],
    ],
    dtype=np.float32,
)  # fmt: skip
GIVEN = np.array([2, 0, 0, 2, 1, 1, 1, 0, 0, 0, 0, 1, 1, 2], dtype=np.int32)
CLEANLAB_THRESHOLDS = [0.526667, 0.464, 0.626667]
CLEANLAB_JOINT = [[3, 0, 1], [1, 3, 0], [0, 0, 2]]
CLEANLAB_DISAGREE = [6, 8]


def test_thresholds_and_joint_are_those_of_cleanlab() -> None:
    thresholds = class_thresholds(PROBABILITIES, GIVEN)
    assert thresholds.tolist() == pytest.approx(CLEANLAB_THRESHOLDS, abs=1e-6)
    found = confident_labels(PROBABILITIES, thresholds)
    assert confident_joint(GIVEN, found, 3).tolist() == CLEANLAB_JOINT
    assert np.flatnonzero((found >= 0) & (found != GIVEN)).tolist() == CLEANLAB_DISAGREE
    assert class_thresholds(PROBABILITIES[:, :2], np.zeros(14, np.int32))[1] == 1  # nobody has label 1


def test_background_by_hand() -> None:
    # 20 rows each: the 2 that look least like a label, of the 20 without it. One of the two for label 1 has it.
    first = np.concatenate([np.linspace(0.6, 0.98, 20), np.linspace(0.02, 0.4, 20)]).astype(np.float32)
    given = np.array([0] * 20 + [1] * 20, dtype=np.int32)
    given[[19, 39]] = [1, 0]
    found = background(np.stack([first, 1 - first], axis=1), given)
    # Wilson, 1 of 4: (0.0456, 0.6994) by Brown, Cai and DasGupta's equation 4
    assert found.rate.estimate == found.noise.estimate == 0.25
    assert found.noise.low == pytest.approx(0.0456, abs=1e-4)
    assert found.noise.high == pytest.approx(0.6994, abs=1e-4)


def test_calibration_is_isotonic_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confident, "BINS", 10**9)  # one probability per bin
    values, shares = background(PROBABILITIES, GIVEN).steps
    stands = np.eye(3)[GIVEN].ravel()
    expected = IsotonicRegression().fit(PROBABILITIES.ravel(), stands).predict(values)
    _, last = np.unique(values, return_index=True)
    assert shares.mean() == pytest.approx(expected.mean())
    assert np.diff(shares).min() >= 0
    assert len(last) <= len(values)


@pytest.mark.parametrize("classes", [2, 8])
def test_noise_that_does_not_depend_on_the_text_is_found_and_flagged(classes: int) -> None:
    random = np.random.default_rng(classes)
    rows, rate = 20_000, 0.05
    truth = random.integers(0, classes, rows)
    wrong = random.random(rows) < rate
    given = np.where(wrong, (truth + random.integers(1, classes, rows)) % classes, truth).astype(np.int32)
    scores = 4 * np.eye(classes)[truth] + random.normal(0, 1.5, (rows, classes))  # wrong by itself in some rows
    powers = np.exp(scores)
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    found = background(probabilities, given)
    assert found.noise.low < rate < found.noise.high
    own = probabilities[np.arange(rows), given]
    flagged = found.wrong(own, found.rate.estimate) >= 0.5
    assert wrong[flagged].mean() > max(0.75, found.wrong(own, found.rate.low)[flagged].mean())  # at least what it says
    assert flagged[wrong].mean() > 0.6


def test_where_no_label_stands_out_of_place_nothing_is_wrong() -> None:
    given = np.array([0, 1] * 50, dtype=np.int32)
    probabilities = np.where(np.eye(2)[given] == 1, 0.9, 0.1).astype(np.float32)
    found = background(probabilities, given)
    assert found.noise.estimate == 0
    assert not found.wrong(probabilities[:, 0], found.rate.estimate).any()
