import polars as pl
import pytest

from modelyard.data.baseline import histogram, profile, script_shares


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
