"""Words and repetition by hand, and against a plain count of the definition."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.quality import scripts
from modelyard.data.quality.words import count_words, measure_repetition, unsegmented_letters


@pytest.mark.parametrize(
    ("text", "words", "alphabetic", "characters", "symbol_runs"),
    [
        ("Don't stop, it's 12 -- ok!", 5, 4, 15, 1),
        ("well-known https://a.b/c", 2, 2, 17, 0),
        ("这部电影，好看abc好12月。", 10, 9, 13, 0),
        ("中文，english，还有 space", 6, 6, 16, 0),  # wide punctuation parts words without a space
        ("ラーメンとか", 6, 6, 6, 0),
        ("กำลังดี", 5, 5, 7, 0),  # ก ำ ล ง ด are letters, the other two are marks
        ("한국어 문장", 2, 2, 5, 0),
        ("=== *** ---", 0, 0, 0, 3),
        ("  \n ", 0, 0, 0, 0),
        ("", 0, 0, 0, 0),
    ],
)
def test_words_by_hand(text: str, words: int, alphabetic: int, characters: int, symbol_runs: int) -> None:
    found = count_words(pl.Series([text])).row(0)
    assert found == (words, alphabetic, characters, symbol_runs)


def test_texts_do_not_run_into_each_other() -> None:
    texts = ["one", "two three", "", "好", "好 four"]
    assert count_words(pl.Series(texts))["words"].to_list() == [1, 2, 0, 1, 2]
    assert count_words(pl.Series(["one", "\u0301two", "ก", "\u0e31"]))["words"].to_list() == [1, 1, 1, 1]  # marks first
    assert measure_repetition(pl.Series(["a b c d e f"] * 2))["duplicate_5"].to_list() == [0, 0]


def test_letters_that_stand_for_words() -> None:
    # 1.72 a word: 8.6, 10.32, 12.04, 13.76, 15.48, 17.2; 86 for the 50 words of Gopher
    assert [unsegmented_letters(words) for words in (5, 6, 7, 8, 9, 10, 50)] == [9, 10, 12, 14, 15, 17, 86]


def test_repetition_by_hand() -> None:
    # "the cat sat on the mat" twice: 34 letters: the cat 2 x 6, the cat sat 2 x 9, the cat sat on 2 x 11
    found = measure_repetition(pl.Series(["the cat sat on the mat the cat sat on the mat"])).row(0, named=True)
    assert found["top_2"] == pytest.approx(12 / 34)
    assert found["top_3"] == pytest.approx(18 / 34)
    assert found["top_4"] == pytest.approx(22 / 34)
    assert (found["duplicate_5"], found["duplicate_6"], found["duplicate_7"]) == (1, 1, 0)


def test_overlaps_count_once_and_what_occurs_once_never() -> None:
    found = measure_repetition(pl.Series(["ha ha ha ha", "once upon", "", None]))
    assert found["top_2"].to_list() == [1, 0, None, None]
    assert found["top_3"].to_list() == [1, 0, None, None]


def test_chinese_by_letters() -> None:
    # 2 words are 3 letters: 中国人 3 times in 9 letters; 5 words are 9 letters, which occur once, then twice
    assert measure_repetition(pl.Series(["中国人中国人中国人"]))["top_2"].to_list() == [1]
    line = "我们要坚持实事求是"
    assert measure_repetition(pl.Series([line, f"{line}，{line}。"]))["duplicate_5"].to_list() == [0, 1]
    # a Chinese word in an English text does not make it Chinese: 5 words, not 9
    assert measure_repetition(pl.Series(["one two three four five 好 one two three four five"]))["duplicate_5"][0] > 0.9


def plain_share(words: list[str], size: int, *, top: bool) -> set[float]:
    """The definition, n-gram by n-gram: the shares that any of the most frequent and longest n-grams would give."""
    grams = [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
    counts = {gram: count for gram, count in Counter(grams).items() if count > 1}
    if not counts:
        return {0.0}
    rank = {gram: (count, len("".join(gram))) for gram, count in counts.items()}
    choices = [{gram} for gram in rank if rank[gram] == max(rank.values())] if top else [set(counts)]
    shares = set()
    for chosen in choices:
        covered = {place + more for place, gram in enumerate(grams) if gram in chosen for more in range(size)}
        shares.add(round(sum(len(words[place]) for place in covered) / len("".join(words)), 9))
    return shares


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "bb", "ccc", "x1"]), min_size=1, max_size=80), min_size=1, max_size=4))
def test_against_the_definition(texts: list[list[str]]) -> None:
    found = measure_repetition(pl.Series([" ".join(words) for words in texts]))
    for row, words in zip(found.iter_rows(named=True), texts, strict=True):
        for name, share in row.items():
            kind, size = name.split("_")
            assert round(share, 9) in plain_share(words, int(size), top=kind == "top")


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(["one two one two one two", "好好学习天天向上好好学习天天向上", "", "x y z"] * 3)
    whole = count_words(texts), measure_repetition(texts)
    monkeypatch.setattr(scripts, "_PIECE_BYTES", 8)
    assert count_words(texts).equals(whole[0]) and measure_repetition(texts).equals(whole[1])
