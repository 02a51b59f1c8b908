"""The profile of a sample: words and tokens counted by hand, shares with their intervals."""

from pathlib import Path

import polars as pl
import pytest

from modelyard.data.profile import baseline_of, language_note, profile
from modelyard.evidence.proportion import wilson

TEXTS = ["the film was good and the story was bright", "这部电影真的很好看，我非常喜欢", "the phone was <b>bad</b>"]


def test_all_rows_are_counted_exactly(tiny_base: Path) -> None:
    found = {
        (one.name, one.scope): one.interval
        for one in profile(pl.Series("text", TEXTS), population=3, tokenizer=tiny_base / "tokenizer.json")
    }
    html = found["profile_html_tags", "overall"]
    assert (html.estimate, html.method) == (pytest.approx(1 / 3), "count")
    # nine words, fourteen characters of Chinese that are a word each, and those of the third text
    assert found["profile_words_p50", "overall"].n == 3
    assert found["profile_language", "language:zh"].estimate == pytest.approx(1 / 3)
    assert found["profile_tokens_p95", "overall"].estimate > 9
    assert 0 < found["profile_unknown_tokens", "overall"].estimate < 1


def test_a_sample_has_an_interval() -> None:
    texts = pl.Series("text", TEXTS * 50)
    found = {(one.name, one.scope): one.interval for one in profile(texts, population=10_000, tokenizer=None)}
    assert found["profile_html_tags", "overall"] == wilson(50, 150)
    mean = found["profile_words_mean", "overall"]
    assert mean.low < mean.estimate < mean.high
    assert not [name for name, _ in found if "tokens" in name]


def test_languages_as_a_sentence() -> None:
    measurements = profile(pl.Series("text", [TEXTS[1]] * 4), population=4, tokenizer=None)
    assert language_note(measurements, 4) == ["languages of the rows of train: zh 100.0%"]
    assert language_note([], 4) == []


def test_the_baseline_of_rows_in_memory() -> None:
    train = pl.DataFrame({"text": ["ab", "电影好看"], "label": ["y", "x"], "site": ["film", "film"]})
    found = baseline_of(train, ["site"])
    assert (found.rows, found.labels, found.slices) == (2, {"x": 0.5, "y": 0.5}, {"site": {"film": 1.0}})
    assert found.scripts == {"latin": pytest.approx(1 / 3), "han": pytest.approx(2 / 3)}
    assert found.row_scripts == {"han": 0.5, "latin": 0.5}
    assert found.length_characters.edges == [2, 4]
