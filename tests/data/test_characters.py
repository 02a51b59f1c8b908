"""Counts and normal forms against `unicodedata`, character by character."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data import characters
from modelyard.data.characters import normalise, read_characters, row_scripts


def counts(*texts: str) -> dict[str, list[int]]:
    frame, _ = read_characters(pl.Series("text", texts))
    return frame.to_dict(as_series=False)


def test_scripts_and_what_is_seen() -> None:
    # four Han, three Latin, two kana, one Hangul; digits and marks are no letters; U+200B is invisible
    found = counts("这部电影 abc!", "かナ12", "한\u200b", "αβ", "")
    assert found["characters"] == [9, 4, 2, 2, 0]
    assert found["letters"] == [7, 2, 1, 2, 0]
    assert found["script_han"] == [4, 0, 0, 0, 0]
    assert found["script_latin"] == [3, 0, 0, 0, 0]
    assert found["cjk"] == [4, 2, 1, 0, 0]
    assert found["visible"] == [8, 4, 1, 2, 0]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ＡＢＣ　１２３，真的！", "abc 123,真的!"),
        ("Straße", "strasse"),
        ("STRASSE", "strasse"),
        ("  two\t\tspaces\n", "two spaces"),
        ("“quoted”、‘so’。", "\"quoted\",'so'."),
        ("in\u200bvisible", "invisible"),
        ("e\u0301", "é"),
        ("ﬁne", "fine"),
        ("ὈΔΥΣΣΕΎΣ", "ὀδυσσεύσ"),
        ("", ""),
    ],
)
def test_normal_forms(text: str, normal: str) -> None:
    assert normalise(pl.Series("text", [text, None])).to_list() == [normal, None]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12), max_size=6))
def test_the_table_gives_what_unicodedata_gives(texts: list[str]) -> None:
    def by_itself(text: str) -> str:
        folded = unicodedata.normalize("NFKC", text).casefold()
        for sign, plain in zip("。、“”‘’", ".,\"\"''", strict=True):
            folded = folded.replace(sign, plain)
        return " ".join("".join(sign for sign in folded if unicodedata.category(sign) != "Cf").split())

    frame, normal = read_characters(pl.Series("text", texts, pl.String))
    assert normal.to_list() == [by_itself(text) for text in texts]
    letters = [sum(unicodedata.category(sign).startswith("L") for sign in text) for text in texts]
    # a letter younger than one of the two Unicode versions may be missing from the other
    assert all(abs(one - other) <= len(text) for one, other, text in zip(frame["letters"], letters, texts, strict=True))
    assert frame["characters"].to_list() == list(map(len, texts))


def test_slices_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["第一行，很好", "Second  line", "", "ＴＨＩＲＤ", "é" * 30]
    whole = counts(*texts), normalise(pl.Series(texts)).to_list()
    monkeypatch.setattr(characters, "_SLICE_CHARACTERS", 3)
    assert (counts(*texts), normalise(pl.Series(texts)).to_list()) == whole


def test_the_script_of_most_letters_of_each_row() -> None:
    texts = pl.Series(["ab 电影", "a电影", "電影を見る", "123 !", "", "αβa", "한국 ok", "Ж"])
    assert row_scripts(texts).to_list() == ["latin", "han", "han", "none", "none", "other", "latin", "cyrillic"]
