import pytest

from modelyard.data.baseline import Baseline, histogram, script_shares, shares


def test_deciles_hold_equal_parts() -> None:
    found = histogram(dict.fromkeys(range(1, 101), 1))
    assert found.edges == [11, 21, 31, 41, 51, 61, 71, 81, 91]
    assert found.counts == [11, *[10] * 8, 9]


def test_equal_lengths_are_one_edge() -> None:
    found = histogram({7: 5})
    assert (found.edges, found.counts) == ([7], [5, 0])


def test_edges_fall_on_the_length_that_holds_the_decile() -> None:
    # in order: 1 1 1 1 1 1 2 2 9 9; the deciles are the values at places 1 to 9
    found = histogram({9: 2, 1: 6, 2: 2})
    assert found.edges == [1, 2, 9]
    assert found.counts == [6, 2, 2, 0]


def test_scripts_are_shares_of_letters() -> None:
    assert script_shares(10, {"han": 4, "latin": 3, "kana": 2, "hangul": 1}) == pytest.approx(
        {"han": 0.4, "latin": 0.3, "kana": 0.2, "hangul": 0.1}
    )
    assert script_shares(2, {"han": 0}) == {"other": 1.0}
    assert script_shares(0, {}) == {}


def test_shares_are_in_the_order_of_the_values() -> None:
    assert list(shares({"y": 1, "x": 3}).items()) == [("x", 0.75), ("y", 0.25)]


def test_a_baseline_of_before_is_read() -> None:
    held = {"schema": 1, "rows": 1, "labels": {}, "length_characters": {"edges": [], "counts": [1]}}
    assert Baseline.model_validate({**held, "scripts": {}, "slices": {}}).row_scripts is None
