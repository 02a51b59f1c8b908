"""Hashed n-grams: which ones there are, by hand, and that nothing but the text decides them."""

import numpy as np
import polars as pl
import pytest

from modelyard.data.labels import ngrams
from modelyard.data.labels.ngrams import hash_numbers, hash_strings, hashed_ngrams

BITS = 20


def counts(*texts: str | None) -> list[int]:
    return np.diff(hashed_ngrams(pl.Series(texts, dtype=pl.String), BITS).indptr).tolist()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 1),  # the intercept, which every row has
        ("ab cd", 1 + 4 + 2 + 1),  # ` ab `, `ab c`, `b cd`, ` cd `; two words; one pair
        ("no no", 1 + 3 + 1 + 1),  # ` no ` twice, `no n`, `o no`; one word; one pair
        ("ab!", 1 + 2 + 2 + 1),  # ` ab!`, `ab! `; `ab`, `!`; their pair
        ("很好吃", 1 + 3 + 4 + 3),  # 很 好 吃; four pairs and three triples with the spaces around
        ("好ab", 1 + 1 + 2 + 2 + 1),  # 好; ` 好`, `好a`; ` 好a`, `好ab`; the word `ab`, whose 4-grams would hold 好
    ],
)
def test_which_ngrams_a_text_has(text: str, number: int) -> None:
    assert counts(text) == [number]


def test_case_width_and_white_space_do_not_matter() -> None:
    features = hashed_ngrams(pl.Series(["ＡＢ１　cd。很好", "ab1  CD。很好"]), BITS)
    assert (features[0] != features[1]).nnz == 0


def test_rows_do_not_depend_on_their_company() -> None:
    texts = ["good food, bad service", "很好吃", "", "a", "服务 bad", "ไม่อร่อย"]
    together = hashed_ngrams(pl.Series(texts), BITS)
    for position, text in enumerate(texts):
        alone = hashed_ngrams(pl.Series([text]), BITS)
        assert (together[position] != alone[0]).nnz == 0
    assert np.allclose(together.multiply(together).sum(axis=1), 1)
    assert counts(None) == counts("")


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(["good food", "bad food", "很好吃", "不好吃的菜"])
    whole = hashed_ngrams(texts, BITS)
    monkeypatch.setattr(ngrams, "PIECE_CHARACTERS", 5)
    assert (hashed_ngrams(texts, BITS) != whole).nnz == 0
    assert hashed_ngrams(texts.clear(), BITS).shape == (0, 2**BITS)


def test_what_is_beyond_the_limit_is_not_read() -> None:
    long = "很好" * ngrams.MAX_CHARACTERS
    assert counts(long) == counts(long[: ngrams.MAX_CHARACTERS])


def test_different_texts_have_different_columns() -> None:
    # 2,000 words in 2^20 columns: 2000^2 / 2 / 2^20 = 2 collisions expected
    words = pl.Series([f"w{number}" for number in range(2000)])
    hashes = hash_strings(words, seed=0) >> np.uint64(64 - BITS)
    assert len(np.unique(hashes)) > 1990
    assert len(np.unique(hash_strings(pl.Series(["ab", "ba", "a", "b", "", "aa", "aab", "aba"]), seed=0))) == 8


def test_hashes_are_even_and_follow_the_seed() -> None:
    numbers = np.arange(10_000, dtype=np.int64)
    folds = np.bincount((hash_numbers(numbers, 3) % np.uint64(5)).astype(np.int64))
    assert np.abs(folds - 2000).max() < 160  # four standard deviations of a binomial count: 4 * sqrt(10000 * 0.2 * 0.8)
    assert (hash_numbers(numbers, 3) != hash_numbers(numbers, 4)).all()
    assert (hash_strings(pl.Series(["客户一"]), 3) != hash_strings(pl.Series(["客户一"]), 4)).all()
