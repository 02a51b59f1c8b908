from xml.etree import ElementTree

import pytest

from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.reporting.svg import (
    DEFINITIONS,
    Scale,
    compact,
    interval_bar,
    label,
    mark,
    px,
    share_bar,
    span_of,
    ticks,
)


def parts(drawing: str, name: str) -> list[ElementTree.Element]:
    return [part for part in ElementTree.fromstring(drawing).iter() if part.get("class") == name]


def interval(low: float, estimate: float, high: float, method: str = "wilson") -> Interval:
    return Interval(low=low, estimate=estimate, high=high, n=100, unit="fraction", method=method)


def test_an_interval_lies_where_it_should() -> None:
    drawing = interval_bar(interval(0.2, 0.3, 0.4), at_most(0.75), "PASS", (0.0, 1.0), width=100)
    (bar,) = parts(drawing, "span")
    assert (bar.get("x1"), bar.get("x2")) == ("20", "40")
    assert [end.get("x1") for end in parts(drawing, "end")] == ["20", "40"]
    (point,) = parts(drawing, "mark PASS")
    assert point.get("cx") == "30"
    (line,) = parts(drawing, "limit")
    assert (line.get("x1"), line.get("x2")) == ("75", "75")
    (allowed,) = parts(drawing, "allowed")
    assert (allowed.get("x"), allowed.get("width"), allowed.get("fill")) == ("0", "75", "url(#hatch)")


def test_at_least_allows_the_right_side() -> None:
    drawing = interval_bar(interval(-1, 0, 1), at_least(0.5), "INCONCLUSIVE", (-2.0, 3.0), width=100)
    (allowed,) = parts(drawing, "allowed")
    assert (allowed.get("x"), allowed.get("width")) == ("50", "50")
    (bar,) = parts(drawing, "span")
    assert (bar.get("x1"), bar.get("x2")) == ("20", "60")


def test_an_exact_number_is_a_mark_without_a_bar() -> None:
    drawing = interval_bar(Interval.exact(0.5, n=9, unit="fraction"), at_most(1), "PASS", (0.0, 1.0), width=100)
    assert parts(drawing, "span") == parts(drawing, "end") == []


def test_too_few_observations_are_dashed() -> None:
    drawing = interval_bar(interval(0.2, 0.3, 0.4, "range"), at_most(1), "INCONCLUSIVE", (0.0, 1.0))
    assert len(parts(drawing, "span dashed")) == 1


def test_outcomes_differ_by_shape_not_only_by_colour() -> None:
    shapes = {ElementTree.fromstring(mark(outcome, 5, 5)).tag for outcome in ("PASS", "FAIL", "INCONCLUSIVE")}
    assert shapes == {"circle", "rect", "path"}


def test_an_axis_names_the_limit_and_keeps_labels_apart() -> None:
    drawing = interval_bar(interval(0.1, 0.2, 0.3), at_most(0.5), "PASS", (0.0, 1.0), width=200, axis=(100.0, "%"))
    labels = {part.text: float(part.get("x") or 0) for part in ElementTree.fromstring(drawing).iter("text")}
    assert labels.pop("≤ 50%") == 100
    assert list(labels) == ["0%", "20%", "80%"]  # 40 and 60 are too near to the limit, 100 to 80
    far = interval_bar(Interval.exact(0, n=9, unit="rows"), at_most(0), "PASS", (0.0, 1.0), axis=(1.0, ""))
    assert [part.text for part in ElementTree.fromstring(far).iter("text")] == ["≤ 0", "1"]  # half a row is none


def test_a_scale_keeps_what_is_outside_at_its_ends() -> None:
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (-5, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]
    assert Scale(0, 10, 200, 100)(5) == 150


def test_spans() -> None:
    assert span_of([0.0, 1.0]) == pytest.approx((0.0, 1.06))
    assert span_of([-1.0, 1.0]) == pytest.approx((-1.12, 1.12))
    assert span_of([0.0, 0.0]) == (0.0, 1.0)
    assert span_of([5.0]) == pytest.approx((0.0, 5.3))


def test_ticks_are_round() -> None:
    assert ticks(0, 1, 4) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-3, 7, 5) == [-2.0, 0.0, 2.0, 4.0, 6.0]
    assert ticks(0, 90, 4) == [0.0, 20.0, 40.0, 60.0, 80.0]
    assert ticks(0, 0, 4) == []
    assert ticks(-1.7e308, 1.7e308) == []  # the span itself is infinite


def test_numbers_are_short() -> None:
    assert [compact(value) for value in (0.5, -2, 12_000, 3.5e6)] == ["0.5", "−2", "12k", "3.5M"]
    assert [px(value) for value in (1, 1.5, 1.005, -0.001)] == ["1", "1.5", "1", "0"]


def test_a_share_fills_its_part() -> None:
    (bar,) = parts(share_bar(0.25, width=100, largest=0.5), "share")
    assert bar.get("width") == "50"
    assert parts(share_bar(0.3, width=100, largest=0.0), "share")[0].get("width") == "0"


def test_text_is_escaped() -> None:
    assert "<script>" not in label(0, 0, "<script>", "note")
    assert ElementTree.fromstring(label(0, 0, "<script>", "note")).text == "<script>"


def test_the_hatching_is_well_formed() -> None:
    assert len(list(ElementTree.fromstring(DEFINITIONS).iter("pattern"))) == 1
