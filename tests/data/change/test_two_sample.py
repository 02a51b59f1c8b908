import math

import numpy as np
import polars as pl
import pytest

from modelyard.data.change.two_sample import PIECE_ROWS, hashed_ngrams, rows_to_tell, tell_apart
from modelyard.data.rules import normalised
from modelyard.evidence.interval import at_most
from modelyard.evidence.proportion import wilson

ENGLISH = ["the film was long", "a quiet story", "two old friends", "on the road", "it rains again", "they laugh"]
CHINESE = ["房间很干净", "服务员态度好", "早餐一般", "离地铁近", "价格偏高", "下次还来"]
OTHER = {"en": ["error code", "please reboot", "null pointer"], "zh": ["本报北京电", "新华社记者", "国务院会议"]}


def texts(phrases: list[str], rows: int, seed: int) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    made = [" ".join(draw.choice(phrases, 3)) + f" {draw.integers(1_000_000)}" for _ in range(rows)]
    return pl.DataFrame({"text": made}).with_columns(key=normalised("text").hash(0))


@pytest.mark.parametrize("phrases", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_one_source_is_a_coin(phrases: list[str]) -> None:
    found = tell_apart(texts(phrases, 2000, 1), texts(phrases, 2000, 2), seed=0)
    assert found is not None
    assert abs(found.right / found.n - 0.5) < 4 * math.sqrt(0.25 / found.n)
    assert found.n == pytest.approx(2000, rel=0.1)


@pytest.mark.parametrize(("language", "phrases"), [("en", ENGLISH), ("zh", CHINESE)])
def test_two_sources_are_told_apart(language: str, phrases: list[str]) -> None:
    new = pl.concat([texts(phrases, 600, 2), texts(OTHER[language], 600, 3)])
    found = tell_apart(texts(phrases, 1200, 1), new, seed=0)
    assert found is not None
    assert found.right / found.n == pytest.approx(0.75, abs=0.05)  # half of NEW is foreign, the rest is a coin
    assert len(found.unlike_old) == 3 and min(found.unlike_old) >= 600


def test_a_set_against_itself_is_a_coin_too() -> None:
    """Copies go to one half: learnt on one side and asked on the other they would be named wrongly."""
    same = texts(CHINESE, 1000, 1)
    found = tell_apart(same, same, seed=0)
    assert found is not None
    assert abs(found.right / found.n - 0.5) < 4 * math.sqrt(0.25 / found.n)


def test_it_is_seeded() -> None:
    old, new = texts(ENGLISH, 300, 1), texts(ENGLISH, 300, 2)
    assert tell_apart(old, new, seed=0) == tell_apart(old, new, seed=0)


def test_too_few_texts() -> None:
    one = texts(ENGLISH, 1, 1)
    assert tell_apart(one, texts(ENGLISH, 50, 2), seed=0) is None


def ngrams(text: str) -> set[str]:
    return {text[start : start + order] for order in (1, 2, 3) for start in range(len(text) - order + 1)}


@pytest.mark.parametrize("text", ["ab", "好好吃", "a𝄞é", "aaaa"])
def test_a_row_has_its_ngrams_once_each(text: str) -> None:
    row = hashed_ngrams(pl.Series([text]))
    assert row.nnz == len(ngrams(text))  # the small sets here do not collide
    assert row.multiply(row).sum() == pytest.approx(1.0)


def test_shared_ngrams_share_their_columns() -> None:
    rows = hashed_ngrams(pl.Series(["abc", "ABC", "bcd", "xyz", ""]))
    shared = (rows @ rows.T).toarray()
    assert shared[0, 1] == pytest.approx(1.0)  # case does not count
    assert shared[0, 2] == pytest.approx(3 / 6)  # b, c, bc of six each
    assert shared[0, 3] == 0.0 and shared[4].sum() == 0.0


def test_an_ngram_does_not_go_on_into_the_next_text() -> None:
    alone = hashed_ngrams(pl.Series(["ab"]))
    beside = hashed_ngrams(pl.Series(["ab", "cd"]))[0]
    assert (alone != beside).nnz == 0


def test_many_texts_are_read_in_pieces() -> None:
    many = hashed_ngrams(pl.Series(["ab"] * (PIECE_ROWS + 1)))
    assert many.shape[0] == PIECE_ROWS + 1 and many.nnz == 3 * (PIECE_ROWS + 1)
    assert hashed_ngrams(pl.Series([], dtype=pl.String)).shape[0] == 0


def test_only_the_beginning_of_a_text_is_read() -> None:
    row = hashed_ngrams(pl.Series(["a" * 500 + "b"]))
    assert row.nnz == 3


def test_rows_that_a_coin_needs_to_pass() -> None:
    # (1.959964 sqrt(0.55 x 0.45) + 0.841621 x 0.5) / 0.05, squared
    needed = rows_to_tell(0.55)
    assert needed == math.ceil(((1.959964 * math.sqrt(0.2475) + 0.8416212 * 0.5) / 0.05) ** 2) == 780
    draw = np.random.default_rng(0)
    passes = [wilson(int(draw.binomial(needed, 0.5)), needed).high <= at_most(0.55).value for _ in range(2000)]
    assert np.mean(passes) == pytest.approx(0.8, abs=0.03)
    assert rows_to_tell(0.5) is None and rows_to_tell(0.2) is None and rows_to_tell(1.0) == 1
