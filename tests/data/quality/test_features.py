"""Features of texts by hand, English and Chinese."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from modelyard.data.quality.features import FEATURES, features


def measured(name: str, *texts: str | None) -> list[object]:
    rows = pl.DataFrame({"row": range(1, len(texts) + 1), "text": pl.Series(texts, dtype=pl.String)})
    found = features(rows, [name])
    assert found.columns == ["row", name] and found["row"].to_list() == rows["row"].to_list()
    return found[name].to_list()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("length_characters", "这部电影 ok", 7),
        ("length_bytes", "这部电影 ok", 15),
        ("length_words", "这部电影 ok", 5),
        ("length_lines", "one\n\n two\n", 2),
        ("letter_share", "ab 1", 0.5),
        ("number_share", "这1２", 2 / 3),
        ("symbol_share", "a+$", 2 / 3),
        ("punctuation_share", "好，好。", 0.5),
        ("white_space_share", "a\u3000b ", 0.5),
        ("upper_case_share", "Ab c！", 1 / 3),
        ("script", "日本 abc", "latin"),
        ("han_share", "日本 ab", 0.5),
        ("unsegmented_share", "日本かไ abcd", 0.5),
        ("replacement_characters", "a\ufffdb\ufffd", 2),
        ("control_characters", "a\x00b\x1bc\n\t", 2),
        ("html_tags", "<p>x</p><br/><a href='y'>z</a> 1 < 2 <name>", 5),
        ("html_entities", "a&nbsp;b &#183; &#xB7; AT&T; & c", 3),
        ("mean_word_length", "a bcd, ef", 2.0),
        ("mean_word_length", "这部电影很好", None),
        ("alphabetic_word_share", "a 1 -- b", 0.5),
        ("hash_ratio", "#a #b c d", 0.5),
        ("ellipsis_ratio", "a... b…… c d.....", 0.75),
        ("ellipsis_ratio", "好。。。" * 2, 2 / (2 / 1.72)),
        ("stop_words", "The dog and THE cat, otherwise", 2),
        ("curly_braces", "{x} }", 3),
        ("lorem_ipsum", "Lorem Ipsum dolor", True),
        ("repeated_line_share", "a\nb\na\na", 0.5),
        ("repeated_line_character_share", "aa\nb\naa", 0.4),
        ("repeated_paragraph_share", "a\n\na", 0.5),
        ("bullet_line_share", "• a\n- b\nc", 2 / 3),
        ("top_2_gram_share", "buy it buy it now", 10 / 13),
    ],
)
def test_by_hand(name: str, text: str, value: object) -> None:
    (found,) = measured(name, text)
    assert found == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "mixed"),
    [("１２月 and 31", True), ("１２月３１日", False), ("12 月，真的！", False), ("Ａ级 a", True), ("全角", False)],
)
def test_mixed_widths(text: str, mixed: bool) -> None:
    assert measured("mixed_widths", text) == [mixed]


CHINESE = "你好世界，中国人民站起来了，我们的生活越来越好。"


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        ("Café naïve", "utf-8", "latin-1"),
        ("it’s “quoted”", "utf-8", "cp1252"),
        ("Привет", "utf-8", "cp1252"),
        (CHINESE, "utf-8", "latin-1"),
        (CHINESE, "utf-8", "cp1252"),
        (CHINESE, "utf-8", "gbk"),
        ("中國人民站起來了，我們的生活", "utf-8", "gbk"),
        ("日本語のテキストです", "utf-8", "gbk"),
        (CHINESE, "gbk", "latin-1"),
        ("\ufffd\ufffd", "utf-8", "gbk"),
    ],
)
def test_mojibake_of_every_kind(text: str, written: str, read: str) -> None:
    wrong = text.encode(written).decode(read, "replace")
    found, clean = measured("mojibake", wrong, text)
    assert isinstance(found, int) and found > 0 and clean == 0


def test_what_is_no_mojibake() -> None:
    clean = [
        "烫手的山芋",
        "屯门",
        "ÀÉÎÕÜ",
        "nãããão!",
        "« déjà »",
        "Spaß“ sagte er",
        "5°–10°",
        "naïve Ærø",
        "横浜、涓流",
        "锟",
    ]
    assert measured("mojibake", *clean) == [0] * len(clean)
    assert measured("mojibake", "烫烫烫烫", "屯屯屯") == [1, 1]


def test_nothing_to_measure() -> None:
    rows = pl.DataFrame({"row": [7, 8], "text": ["", None]}, schema={"row": pl.Int64, "text": pl.String})
    found = features(rows, list(FEATURES))
    assert found["row"].to_list() == [7, 8]
    assert found["length_words"].to_list() == [0, 0]
    shares = [name for name in FEATURES if name.endswith(("_share", "_ratio")) or name == "script"]
    assert len(shares) > 50
    assert all(found[name].null_count() == 2 for name in shares)
    assert features(rows.clear(), list(FEATURES)).height == 0


def test_only_what_is_named_and_no_unknown_name() -> None:
    rows = pl.DataFrame({"row": [1], "text": ["好"], "label": ["x"]})
    assert features(rows, ["script", "length_bytes"]).columns == ["row", "script", "length_bytes"]
    assert features(rows, []).columns == ["row"]
    with pytest.raises(KeyError, match="nothing_of_the_kind"):
        features(rows, ["nothing_of_the_kind"])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.text(alphabet="ab1 \n\t.-#，。好カไั\u0301é{", max_size=30), min_size=2, max_size=5))
def test_no_text_shows_in_the_features_of_another(texts: list[str]) -> None:
    rows = pl.DataFrame({"row": range(len(texts)), "text": texts})
    together = features(rows, list(FEATURES))
    alone = [features(rows.filter(pl.col("row") == place), list(FEATURES)) for place in range(len(texts))]
    assert_frame_equal(together, pl.concat(alone))
