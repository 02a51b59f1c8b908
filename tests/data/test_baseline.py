import polars as pl
import pytest

from modelyard.data.baseline import Baseline, histogram, profile, row_scripts, script_shares


def test_deciles_hold_equal_parts() -> None:
    found = histogram(pl.Series(list(range(1, 101))))
    assert found.edges == [11, 21, 31, 41, 51, 61, 71, 81, 91]
    assert found.counts == [11, *[10] * 8, 9]


def test_equal_lengths_are_one_edge() -> None:
    found = histogram(pl.Series([7] * 5))
    assert (found.edges, found.counts) == ([7], [5, 0])


def test_scripts_are_shares_of_letters() -> None:
    # four Han, three Latin, two kana, one Hangul; digits and marks are no letters
    assert script_shares(pl.Series(["这部电影 abc!", "かナ12", "한"])) == pytest.approx(
        {"han": 0.4, "latin": 0.3, "kana": 0.2, "hangul": 0.1}
    )
    assert script_shares(pl.Series(["αβ"])) == {"other": 1.0}
    assert script_shares(pl.Series(["123"])) == {}


def test_profile() -> None:
    found = profile(pl.DataFrame({"text": ["ab", "abcd"], "label": ["y", "x"], "site": ["film", "film"]}), ["site"])
    assert found.rows == 2
    assert found.labels == {"x": 0.5, "y": 0.5}
    assert found.slices == {"site": {"film": 1.0}}
    assert found.row_scripts == {"latin": 1.0}


def test_the_script_of_most_letters_of_each_row() -> None:
    texts = pl.Series(["ab 电影", "a电影", "電影を見る", "123 !", "", "αβa", "한국 ok", "Ж"])
    assert row_scripts(texts).to_list() == ["latin", "han", "han", "none", "none", "other", "latin", "cyrillic"]


def test_a_baseline_of_before_is_read() -> None:
    held = {"schema": 1, "rows": 1, "labels": {}, "length_characters": {"edges": [], "counts": [1]}}
    assert Baseline.model_validate({**held, "scripts": {}, "slices": {}}).row_scripts is None
