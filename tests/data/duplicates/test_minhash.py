import os
import pickle
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from modelyard.data.duplicates.minhash import band_keys, band_shape, candidate_probability, signatures
from modelyard.data.duplicates.shingles import Shingles


def pairs_of_sets(pairs: int, shared: int, own: int, seed: int) -> tuple[Shingles, Shingles]:
    """Two sides of `pairs` pairs of sets with `shared` shingles in common and `own` more on each side."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 2**64, size=(pairs, shared + 2 * own), dtype=np.uint64)
    counts = np.full(pairs, shared + own)
    left = drawn[:, : shared + own]
    right = np.concatenate([drawn[:, shared + own :], drawn[:, :shared]], axis=1)
    return Shingles(left.ravel(), counts), Shingles(right.ravel(), counts)


@pytest.mark.parametrize(
    ("similarity", "probability"),  # Mining of Massive Datasets, figure 3.8: 20 bands of 5 rows
    [(0.2, 0.006), (0.3, 0.047), (0.4, 0.186), (0.5, 0.470), (0.6, 0.802), (0.7, 0.975), (0.8, 0.9996)],
)
def test_the_curve_is_that_of_the_book(similarity: float, probability: float) -> None:
    assert candidate_probability(similarity, 20, 5) == pytest.approx(probability, abs=6e-4)


def test_the_shape_finds_a_pair_at_the_threshold_with_98_percent() -> None:
    assert band_shape() == (13, 6)
    assert candidate_probability(0.8, 14, 8) == pytest.approx(0.924, abs=5e-4)  # FineWeb's shape does not
    assert candidate_probability(0.8, 13, 6) >= 0.98 > candidate_probability(0.8, 12, 6)
    for threshold in (0.05, 0.5, 0.7, 0.9, 0.999):
        bands, rows = band_shape(threshold)
        assert candidate_probability(threshold, bands, rows) >= 0.98 and bands * rows <= 80


@pytest.mark.parametrize("threshold", [0.0, 0.049, 1.0, float("nan")])
def test_no_shape_for_a_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.05 to below 1"):
        band_shape(threshold)


@pytest.mark.parametrize(("shared", "own"), [(4, 1), (40, 10), (160, 40), (1600, 400)])
def test_a_signature_estimates_jaccard_for_sets_of_every_size(shared: int, own: int) -> None:
    left, right = pairs_of_sets(400, shared, own, seed=shared)
    equal = signatures(left, 78) == signatures(right, 78)
    similarity = shared / (shared + 2 * own)
    error = np.sqrt(similarity * (1 - similarity) / 400 / min(78, shared + 2 * own))
    assert abs(equal.mean() - similarity) < 4 * error
    assert np.abs(equal.mean(axis=0) - similarity).max() < 5 * np.sqrt(similarity * (1 - similarity) / 400)


@pytest.mark.parametrize(("shared", "own"), [(8, 1), (80, 10), (800, 100), (50, 25), (500, 250)])
def test_pairs_become_candidates_as_often_as_the_curve_says(shared: int, own: int) -> None:
    left, right = pairs_of_sets(1000, shared, own, seed=own)
    alike = (signatures(left, 78) == signatures(right, 78)).reshape(1000, 13, 6).all(axis=2).any(axis=1)
    expected = candidate_probability(shared / (shared + 2 * own), 13, 6)
    assert binom.ppf(0.0005, 1000, expected) <= alike.sum() <= binom.ppf(0.9995, 1000, expected)


def test_a_text_without_a_shingle_or_longer_than_the_limit_has_no_keys() -> None:
    keys = band_keys(pl.Series(["很好", "。。", "", None, "a" * 2**20, "a" * (2**20 + 1), "好" * 349_526]))
    assert keys.dtype == pl.Array(pl.UInt64, 13)
    assert keys.is_null().to_list() == [False, True, True, True, False, True, True]
    assert band_keys(pl.Series([], dtype=pl.String)).len() == 0
    assert band_keys(pl.Series(["!", None])).null_count() == 2


def test_keys_differ_between_bands_and_agree_between_equal_texts() -> None:
    keys = band_keys(pl.Series(["服务很好", "服务，很好！", "服务很差"])).to_list()
    assert len(set(keys[0])) == 13
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])


def test_keys_are_the_same_in_another_process() -> None:
    script = (
        "import polars as pl; from modelyard.data.duplicates.minhash import band_keys;"
        "print(band_keys(pl.Series(['the cat sat on the mat', '这家酒店很好'])).to_list())"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    ours = pickle.loads(pickle.dumps(band_keys))(pl.Series(["the cat sat on the mat", "这家酒店很好"]))
    assert told.strip() == str(ours.to_list())
