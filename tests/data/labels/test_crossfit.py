"""Models that are blind to a part of the rows: one step by hand, blindness itself, threads."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from modelyard.data.labels.crossfit import STEP, Models, fit, outside_scores


def two_blobs(rows: int = 300) -> tuple[sparse.csr_matrix, NDArray[np.int32], NDArray[np.bool_]]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, rows).astype(np.int32)
    own = (np.arange(20) // 10)[None, :] == labels[:, None]
    features = (random.random((rows, 20)) < np.where(own, 0.6, 0.2)).astype(np.float32)
    return sparse.csr_matrix(features), labels, np.arange(rows)[:, None] % 5 == np.arange(5)


def test_two_passes_over_one_row_by_hand() -> None:
    # pass 1: scores 0, errors 0.5 - 1 and 0.5, each divided by the root of its own square: steps of +-STEP
    # pass 2: scores +-STEP, error p - 1 with p = 1 / (1 + exp(-2 STEP)), squares 0.25 + (p - 1)^2
    models = fit(sparse.csr_matrix([[1.0]], dtype=np.float32), np.zeros(1, np.int32), np.zeros((1, 1), bool), 2, seed=0)
    error = 1 / (1 + np.exp(2 * STEP))
    weight = STEP + STEP * error / np.sqrt(0.25 + error**2)
    assert models.weights.tolist() == [[pytest.approx(weight, rel=1e-5), pytest.approx(-weight, rel=1e-5)]]


def test_a_row_has_no_say_in_its_own_score() -> None:
    features, labels, held_out = two_blobs()
    before = outside_scores(fit(features, labels, held_out, 2, seed=1), features, held_out)
    labels[17] = 1 - labels[17]
    after = outside_scores(fit(features, labels, held_out, 2, seed=1), features, held_out)
    same_fold = held_out[:, 17 % 5]
    assert np.array_equal(before[same_fold], after[same_fold])
    assert not np.array_equal(before[~same_fold], after[~same_fold])
    assert (before.argmax(axis=1) == labels).mean() > 0.85


def test_the_number_of_threads_does_not_matter() -> None:
    features, labels, held_out = two_blobs()
    with threadpool_limits(1):
        one = fit(features, labels, held_out, 2, seed=1).weights
    with threadpool_limits(2):
        two = fit(features, labels, held_out, 2, seed=1).weights
    assert np.array_equal(one, two)
    assert not np.array_equal(one, fit(features, labels, held_out, 2, seed=2).weights)


def test_scores_are_the_mean_over_the_blind_models() -> None:
    models = Models(np.array([[1, 2, 10, 20, 100, 200]], dtype=np.float32), classes=2)
    scores = outside_scores(
        models, sparse.csr_matrix([[1.0], [1.0]]), np.array([[True, False, False], [False, True, True]])
    )
    assert scores.tolist() == [[1, 2], [55, 110]]
