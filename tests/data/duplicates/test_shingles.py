import re
import tracemalloc
import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.data.duplicates import shingles as module
from modelyard.data.duplicates.minhash import band_keys
from modelyard.data.duplicates.shingles import shingles

OWN = "HIRAGANA|KATAKANA|CJK UNIFIED|THAI|LAO|KHMER|MYANMAR"


def counted(*texts: str | None) -> list[int]:
    return [int(count) for part in shingles(pl.Series(texts, dtype=pl.String)) for count in part.counts]


def hashed(text: str) -> list[int]:
    return [int(value) for part in shingles(pl.Series([text])) for value in part.hashes]


def tokens_by_hand(text: str) -> list[str]:
    """The definition, character by character, from the names and categories of Python's own Unicode tables."""
    marked = []
    for character in text:
        category = unicodedata.category(character)
        if (re.search(OWN, unicodedata.name(character, "")) and category[0] in "LMN") or category[0] == "S":
            marked.append(f" {character} ")
        else:
            marked.append(character if category[0] in "LMN" else " ")
    return "".join(marked).split()


def shingles_by_hand(text: str) -> list[tuple[str, ...]]:
    tokens = tokens_by_hand(text)
    return [tuple(tokens[at : at + 5]) for at in range(max(1, len(tokens) - 4))] if tokens else []


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("the cat sat on the mat", 6),
        ("don't, e-mail me: a_b", 7),  # don t e mail me a b
        ("naïve cafés über 3,50", 5),
        ("cafe\u0301s a b c d", 5),  # a combining accent is part of the word
        ("这家酒店很好，下次还来", 10),
        ("iphone 15手机壳", 5),
        ("東京タワーに行く", 8),  # the long vowel sign too
        ("ภาษาไทย", 7),
        ("ພາສາລາວ", 7),
        ("ភាសាខ្មែរ", 9),
        ("မြန်မာစာ", 8),
        ("𠮷野家𰻞面", 5),  # Han of planes 2 and 3
        ("오늘은 날씨가 정말 좋네요 그렇죠", 5),  # Hangul is written with spaces
        ("great 😀😀 1+1=2", 8),
        ("❤️ a b c d", 5),  # with a variation selector, which is no token
        ("\ue000 \U000e0041 a b c d e", 5),  # private use and tags separate
    ],
)
def test_a_text_has_a_shingle_for_every_five_tokens(text: str, tokens: int) -> None:
    assert counted(text) == [tokens - 4]


def test_a_short_text_has_one_shingle_and_one_without_a_token_has_none() -> None:
    assert counted("很好", "好", "ok", "。。。 !", "", None, "a b c d", "a b c d e f") == [1, 1, 1, 0, 0, 0, 1, 2]
    assert len({hashed(text)[0] for text in ("很好", "好", "好很", "ok", "a b c d", "a b c")}) == 6


def test_what_separates_makes_no_difference_and_what_stands_apart_does() -> None:
    assert hashed("早餐很好，服务不错！") == hashed("早餐 很好。服务 不错")
    assert hashed("good food, nice staff; again") == hashed("good food -- nice\nstaff again!!")
    assert hashed("great 😀") != hashed("great 😡")
    assert hashed("ab c d e f") != hashed("a bc d e f")
    assert hashed("手机") != hashed("机手")


@given(st.lists(st.text(st.sampled_from("ab1é你好酒店ไท😀+ ,。\n\u0301"), max_size=30), min_size=1, max_size=8))
def test_hashes_are_equal_exactly_where_shingles_are(texts: list[str]) -> None:
    part = next(shingles(pl.Series(texts)))
    expected = [shingles_by_hand(text) for text in texts]
    assert part.counts.tolist() == [len(found) for found in expected]
    pairs = set(zip((shingle for found in expected for shingle in found), part.hashes.tolist(), strict=True))
    assert len(pairs) == len({shingle for shingle, _ in pairs}) == len({value for _, value in pairs})


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series([f"第{n}条 the same words again {n}" * (n % 7) for n in range(200)])
    whole = list(shingles(texts))
    monkeypatch.setattr(module, "BLOCK_CHARACTERS", 900)
    monkeypatch.setattr(module, "SLICE_CHARACTERS", 100)
    cut = list(shingles(texts))
    assert len(whole) == 1 and len(cut) > 50
    assert np.array_equal(np.concatenate([part.counts for part in cut]), whole[0].counts)
    assert np.array_equal(np.concatenate([part.hashes for part in cut]), whole[0].hashes)


@pytest.mark.parametrize("text", ["酒店早餐不错服务很好" * 34_952, "a " * 524_288, "word " * 209_715])
def test_memory_stays_bounded_for_the_longest_text(text: str) -> None:
    texts = pl.Series([text] * 4)
    assert texts.str.len_bytes().max() > 0.99 * 2**20
    band_keys(pl.Series(["warm"]))
    tracemalloc.start()
    assert band_keys(texts).null_count() == 0
    assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    tracemalloc.stop()
