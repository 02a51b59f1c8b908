import itertools

import polars as pl
import pytest

from modelyard.data.change.columns import (
    BINS,
    as_numbers,
    category_drawing,
    compare_column,
    compare_kinds,
    counts_of,
    kind_of,
    number_drawing,
    text_features,
)
from modelyard.data.change.measures import cells_of, chosen_measures
from modelyard.evidence.distance import on_shared_values

TABLE = chosen_measures({})


def strings(*values: object) -> pl.Series:
    return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)


def test_features_of_a_text_in_any_language() -> None:
    found = text_features(pl.Series(["ab 1!", "好吃。 12", "", "été\n"]))
    assert found["text.characters"].to_list() == [5.0, 6.0, 0.0, 4.0]
    assert found["text.digits"].to_list() == [0.2, 0.333, 0.0, 0.0]
    assert found["text.punctuation"].to_list() == [0.2, 0.167, 0.0, 0.0]
    assert found["text.spaces"].to_list() == [0.2, 0.167, 0.0, 0.25]
    assert found["text.script"].to_list() == ["latin", "han", "none", "latin"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.5, 3.25, 4, 5, 6, 7, 7], "number"),
        ([1, 2, 3, 4, 5] * 10, "category"),  # five distinct numbers are kinds
        ([1, 2, 3, 4, 5, 6] * 10, "number"),
        (["film", "phone"] * 20, "category"),
        (["film", None] * 20, "category"),
        ([*range(199), *range(199), "n/a", "-"], "number"),  # a hundredth that is none
    ],
)
def test_kinds_of_columns(values: list[object], kind: str) -> None:
    assert kind_of(strings(*values), strings(*values)) == (kind, "")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (list(range(100)), "each row has a number of its own"),
        ([f"order {number}" for number in range(100)], "its values hardly repeat"),
        ([f"order {number}" for number in range(60)] + ["x"] * 40, "its values hardly repeat"),
        ([None, None], "it has no value on one side"),
        (["order 1", "order 2", "order 3", "order 4", "order 5", "order 6", "order 7"], "its values hardly repeat"),
    ],
)
def test_columns_that_are_not_compared(values: list[object], reason: str) -> None:
    assert kind_of(strings(*values), strings(*values)) == (None, reason)


def test_labels_are_kinds_even_with_numbers_for_names() -> None:
    values = strings(*(number % 60 for number in range(600)))
    assert kind_of(values, values)[0] == "number"
    assert kind_of(values, values, few=100)[0] == "category"


def test_numbers_in_strings() -> None:
    assert as_numbers(strings(" 1.5", "1e3", "x", None, "inf", "nan")).to_list() == [1.5, 1000, None, None, None, None]


def test_counts_with_what_is_missing() -> None:
    assert counts_of(strings("b", None, "a", "b")) == {"(none)": 1, "a": 1, "b": 2}


def test_a_column_of_numbers_with_gaps() -> None:
    old, new = strings(*range(8), *range(8)), strings(*range(8), None, None, None, "x", *range(4))
    found = compare_column("price", "number", old, new, TABLE)
    assert [verdict.rule for verdict in found.verdicts] == ["ks", "wasserstein", "missing"]
    missing = found.verdicts[2].interval
    assert missing is not None and missing.estimate == pytest.approx(4 / 16)
    assert found.drawing["column"] == "price"


def test_a_column_of_kinds() -> None:
    found = compare_column("site", "category", strings("a", "b"), strings("b", None), TABLE)
    assert [verdict.rule for verdict in found.verdicts] == ["psi", "chi_squared"]
    assert sorted(found.drawing["names"]) == ["(none)", "a", "b"]


def test_whole_numbers_get_bins_of_whole_width() -> None:
    values, old, new = on_shared_values(*(pl.Series(side).cast(pl.Float64).to_numpy() for side in ([1, 2, 2], [2, 4])))
    drawn = number_drawing("stars", values, old, new)
    assert drawn["edges"] == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert drawn["old"] == pytest.approx([1 / 3, 2 / 3, 0, 0], abs=1e-6)
    assert drawn["new"] == [0, 0.5, 0, 0.5]
    assert drawn["gap"] == pytest.approx([2.0, 1.0, 0.5])
    wide = pl.Series(range(1000)).cast(pl.Float64).to_numpy()
    edges = number_drawing("length", *on_shared_values(wide, wide))["edges"]
    assert len(edges) <= BINS + 2 and all(step % 1 == 0 for step in (b - a for a, b in itertools.pairwise(edges)))


def test_an_outlier_does_not_flatten_the_drawing() -> None:
    old = pl.Series([*(number / 1000 for number in range(1000)), 1e9]).to_numpy()
    drawn = number_drawing("price", *on_shared_values(old, old))
    assert drawn["edges"][-1] < 1.0 and sum(drawn["old"]) == pytest.approx(1.0, abs=1e-4)
    one = pl.Series([0.5, 0.5]).to_numpy()
    assert number_drawing("price", *on_shared_values(one, one))["edges"][0] == 0.0


def test_many_kinds_are_cut() -> None:
    cells = cells_of({f"kind {number:02d}{'x' * 100}": 100 - number for number in range(40)}, {"kind 00": 5_000})
    drawn = category_drawing("site", cells)
    assert len(drawn["names"]) == len(drawn["old"]) == len(drawn["new"]) == 24
    assert drawn["hidden"] == len(cells.names) - 24 and len(drawn["names"][1]) == 80


def test_kinds_that_are_numbers_stand_in_their_order() -> None:
    found = compare_kinds("stars", {"5": 50, "1": 20, "3": 30}, {"1": 60, "3": 20, "5": 20}, TABLE)
    assert found.drawing["names"] == ["1", "3", "5"]
    assert found.drawing["old"] == [0.2, 0.3, 0.5]
