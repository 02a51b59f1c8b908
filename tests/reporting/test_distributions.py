from xml.etree import ElementTree

import pytest

from modelyard.evidence.interval import at_least, at_most
from modelyard.reporting.distributions import (
    BOTTOM,
    HEIGHT,
    LEFT,
    PAIR_WIDTH,
    RIGHT,
    TREND_HEIGHT,
    WIDTH,
    kind_pair,
    number_pair,
    trend_line,
)


def found(drawing: str, name: str) -> list[ElementTree.Element]:
    return [part for part in ElementTree.fromstring(drawing).iter() if part.get("class") == name]


def test_two_outlines_over_the_same_bins() -> None:
    chart = number_pair([0, 10, 20], [0.25, 0.75], [1.0, 0.0], 10)
    (old,), (new,) = found(chart, "curve first"), found(chart, "curve second")
    ground = f"{HEIGHT - BOTTOM:g}"
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert str(old.get("d")).startswith(f"M{LEFT:g} {ground}V") and str(old.get("d")).endswith(f"V{ground}")
    assert f"H{middle:g}" in str(old.get("d")) and f"H{WIDTH - RIGHT:g}" in str(new.get("d"))
    heights = [float(part.split("H")[0]) for part in str(old.get("d")).split("V")[1:3]]
    assert (HEIGHT - BOTTOM - heights[1]) == pytest.approx(3 * (HEIGHT - BOTTOM - heights[0]), abs=0.05)
    (gap,) = found(chart, "best")
    assert gap.get("x1") == f"{middle:g}"


def test_the_gap_is_named_where_there_is_room() -> None:
    left, right = number_pair([0, 10], [1.0], [1.0], 1), number_pair([0, 10], [1.0], [1.0], 9)
    assert found(left, "note")[0].get("text-anchor") == "start"
    assert found(right, "note")[0].get("text-anchor") == "end"


def test_nothing_at_all_is_drawn_flat() -> None:
    assert "nan" not in number_pair([0, 1], [0.0], [0.0], 0)
    assert "nan" not in kind_pair(0.0, 0.0, 0.0)


def test_two_bars_of_which_one_is_hatched() -> None:
    drawing = ElementTree.fromstring(kind_pair(0.5, 0.25, 0.5))
    widths = [part.get("width") for part in drawing if part.tag.endswith("rect")]
    assert widths == [f"{PAIR_WIDTH:g}", f"{PAIR_WIDTH / 2:g}", f"{PAIR_WIDTH / 2:g}"]
    assert [part.get("fill") for part in drawing][-1] == "url(#hatch)"


def test_a_trend_with_its_limit_and_the_allowed_side() -> None:
    chart = trend_line([0.1, 0.1, 0.3], ["PASS", "INCONCLUSIVE", "FAIL"], at_most(0.2))
    (limit,), (allowed,), (line,) = found(chart, "limit"), found(chart, "allowed"), found(chart, "curve first")
    assert allowed.get("y") == limit.get("y1")  # below it, as less is allowed
    assert str(line.get("d")).count("L") == 2
    marks = [len(found(chart, f"mark {outcome}")) for outcome in ("PASS", "FAIL", "INCONCLUSIVE")]
    assert marks == [1, 1, 1]
    above = found(trend_line([1.0], ["PASS"], at_least(0.5)), "allowed")[0]
    assert above.get("y") == "0" and float(above.get("height") or 0) < TREND_HEIGHT


def test_of_many_points_only_the_last_is_marked() -> None:
    chart = trend_line([0.1] * 31, ["PASS"] * 31, at_most(0.2))
    assert len(found(chart, "mark PASS")) == 1
    assert len(found(trend_line([0.1] * 30, ["PASS"] * 30, at_most(0.2)), "mark PASS")) == 30
