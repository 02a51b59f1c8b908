import math
from xml.etree import ElementTree

import pytest

from modelyard.evidence.interval import Interval
from modelyard.reporting.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    Rung,
    histogram,
    line_chart,
    pareto,
    smoothed,
    thinned,
)


def found(drawing: str, name: str) -> list[ElementTree.Element]:
    return [part for part in ElementTree.fromstring(drawing).iter() if part.get("class") == name]


def interval(low: float, estimate: float, high: float) -> Interval:
    return Interval(low=low, estimate=estimate, high=high, n=9, unit="ratio", method="tango")


def test_a_line_starts_left_and_ends_right() -> None:
    chart = line_chart(
        [Curve("chart.train_loss", "first", [(0, 1.0), (10, 0.0)])], x_name="chart.step", y_name="chart.loss"
    )
    (line,) = found(chart, "curve first")
    assert line.get("d") == f"M{LEFT:g} 38.82L{WIDTH - RIGHT:g} 219.18"  # 202 px, 6 of 112 parts free at each end


def test_a_loss_that_is_no_number_breaks_the_line_and_is_marked() -> None:
    points = [(0.0, 1.0), (1.0, math.nan), (2.0, math.inf), (3.0, 0.5), (4.0, 0.25)]
    chart = line_chart([Curve("chart.train_loss", "first", points)], x_name="chart.step", y_name="chart.loss")
    (line,) = found(chart, "curve first")
    assert str(line.get("d")).count("M") == 2
    assert [part.text for part in found(chart, "broken")] == ["✘", "✘"]
    assert "nan" not in chart.lower().replace("nance", "") and "inf" not in str(line.get("d"))


def test_the_best_step_is_a_line() -> None:
    curve = Curve("chart.train_loss", "first", [(0, 1.0), (10, 0.5)])
    (line,) = found(line_chart([curve], x_name="chart.step", y_name="chart.loss", best=5), "best")
    assert line.get("x1") == f"{(LEFT + WIDTH - RIGHT) / 2:g}"


def test_one_point_is_drawn() -> None:
    chart = line_chart(
        [Curve("chart.accuracy", "second", [(0, 0.0)], dots=True)], x_name="chart.step", y_name="chart.loss"
    )
    assert len(found(chart, "dot second")) == 1


def test_many_points_are_means_of_neighbours() -> None:
    points = [(float(x), float(x % 2)) for x in range(1000)]
    few = thinned(points, 240)
    assert len(few) == 200 and few[0] == (4.0, 0.4) and few[-1][0] == 999.0
    assert thinned(points[:240], 240) == points[:240]
    assert math.isnan(thinned([*points, (1000.0, math.nan)], 240)[-1][1])


def test_a_running_mean_leaves_out_what_is_no_number() -> None:
    points = [(0.0, 1.0), (1.0, math.nan), (2.0, 3.0)]
    assert smoothed(points, share=1.0) == [(0.0, 1.0), (1.0, 1.0), (2.0, 2.0)]
    assert smoothed([(0.0, math.nan)]) == []


def rung(letter: str, speed: float, lost: float, *, chosen: bool = False) -> Rung:
    return Rung(
        letter, interval(speed - 0.1, speed, speed + 0.1), interval(lost - 0.002, lost, lost + 0.002), "9 MB", chosen
    )


def test_the_plot_has_better_up_and_to_the_right() -> None:
    plot = pareto([rung("A", 3, 0.0, chosen=True), rung("B", 2, 0.005)], 0.01)
    (chosen,), (other,) = found(plot, "rung chosen"), found(plot, "rung")
    assert float(chosen.get("cx") or 0) > float(other.get("cx") or 0)
    assert float(chosen.get("cy") or 0) < float(other.get("cy") or 0)
    assert float(chosen.get("cx") or 0) == pytest.approx(LEFT + 3 / (1.2 * 3.1) * (WIDTH - RIGHT - LEFT), abs=0.01)
    (limit,) = found(plot, "limit")
    (beyond,) = found(plot, "forbidden")
    assert beyond.get("y") == limit.get("y1")
    assert float(limit.get("y1") or 0) > float(other.get("cy") or 0)
    notes = [part.text for part in found(plot, "note")]
    assert "9 MB ★" in notes and "9 MB" in notes


def test_a_plot_without_a_limit() -> None:
    assert found(pareto([rung("A", 1, 0.0)], None), "forbidden") == []


def test_many_equal_candidates_still_get_a_note_each() -> None:
    plot = pareto([rung(letter, 2, 0.0) for letter in "ABCDEFGHIJKLMNOP"], 0.01)
    assert [part.text for part in found(plot, "note")].count("9 MB") == 16


def test_areas_of_a_histogram_are_counts() -> None:
    chart = histogram([10, 30], [20, 20, 20], 50)
    bins = [*found(chart, "bin"), *found(chart, "bin open")]
    areas = [float(part.get("width") or 0) * float(part.get("height") or 0) for part in bins]
    assert areas == pytest.approx([areas[0]] * 3, rel=1e-3)
    heights = [float(part.get("height") or 0) for part in bins]
    assert heights[0] == pytest.approx((HEIGHT - BOTTOM - TOP - 12) / 1.05, abs=0.01)
    assert heights[1] == pytest.approx(heights[0] / 2, abs=0.01)
