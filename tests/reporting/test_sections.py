from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelyard.data.baseline import Baseline, Histogram
from modelyard.reporting.collect import collect
from modelyard.reporting.sections import MOST_BARS, bars, data_of, data_view, ladder_view

Make = Callable[..., Any]


def test_few_bars_keep_their_order() -> None:
    found = bars({"b": 0.2, "a": 0.8, "c": 0.00001}, {"b": [1, 2]})
    assert [(bar.name, bar.share, bar.counts) for bar in found.largest] == [
        ("b", "20.0%", [1, 2]),
        ("a", "80.0%", []),
        ("c", "<0.1%", []),
    ]
    assert (found.hidden, found.smallest) == (0, [])


def test_many_bars_show_the_largest_and_the_smallest() -> None:
    found = bars({f"{number:03d}": (300 - number) / 50_000 for number in range(300)})
    assert len(found.largest) + len(found.smallest) == MOST_BARS
    assert (found.largest[0].name, found.smallest[-1].name, found.hidden) == ("000", "299", 276)


def test_the_data_of_a_project(make: Make) -> None:
    found = data_of(collect(make(labels=2, slices=3).folder))
    assert found is not None
    assert [(bar.name, bar.share, bar.counts) for bar in found.splits.largest] == [
        ("train", "33.3%", [8]),
        ("validation", "33.3%", [8]),
        ("test", "33.3%", [8]),
    ]
    assert [(bar.name, bar.counts) for bar in found.labels.largest] == [
        ("label 000", [4, 4, 4]),
        ("label 001", [4, 4, 4]),
    ]
    assert [column for column, _ in found.slices] == ["site"]
    assert {bar.name for bar in found.scripts.largest} == {"latin", "han"}
    assert [(step.rule, step.before, step.rows) for step in found.steps] == [
        ("text_too_short", 33, 3),
        ("duplicate_exact", 30, 6),
    ]
    assert "<svg" in found.lengths


def test_no_data() -> None:
    assert data_of(type("C", (), {"data": None})()) is None  # type: ignore[arg-type]


def baseline(edges: list[int], counts: list[int]) -> Baseline:
    lengths = Histogram(edges=edges, counts=counts)
    return Baseline(rows=9, labels={}, length_characters=lengths, scripts={}, slices={})


@pytest.mark.parametrize(("edges", "counts"), [([], []), ([5], [0, 0]), ([5], [1]), ([0, 4], [1, 2, 3])])
def test_lengths_that_cannot_be_drawn_are_not(make: Make, edges: list[int], counts: list[int]) -> None:
    data = collect(make().folder).data
    assert data is not None
    odd = replace(data, baseline=baseline(edges, counts))
    assert data_view(odd).lengths == ""


def test_bins_have_their_lengths_as_text(make: Make) -> None:
    data = collect(make().folder).data
    assert data is not None
    odd = replace(data, baseline=baseline([5, 9], [3, 2, 1]))
    assert data_view(odd).length_rows == [(1, 5, 3), (6, 9, 2), (10, None, 1)]
    bare = data_view(replace(data, baseline=None))
    assert (bare.lengths, bare.length_rows, bare.slices, bare.profile) == ("", [], [], [])


def test_the_ladder(make: Make) -> None:
    ladder = collect(make().folder).ladder
    assert ladder is not None
    found = ladder_view(ladder)
    assert [(rung.letter, rung.card.name, rung.chosen, rung.on) for rung in found.rungs] == [
        ("A", "int8", True, "test"),
        ("B", "int4", False, "test"),
        ("C", "fp32", False, ""),
    ]
    assert found.plot.count("<circle") == 3
    assert (found.limit, found.hidden) == (0.01, 0)
    assert "未压缩，而 int8 通过了测试集上的全部候选门禁" in found.rungs[2].why
    assert found.rungs[0].why == ""


def test_a_candidate_that_was_not_timed_stands_in_the_table_only(make: Make) -> None:
    ladder = collect(make().folder).ladder
    assert ladder is not None
    for card in ladder.cards.values():
        card.speed_ratio = None
    found = ladder_view(ladder)
    assert found.plot == "" and len(found.rungs) == 3
