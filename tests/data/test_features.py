"""The pure function over rows: picklable, and the same whatever rows stand beside a row."""

from multiprocessing import get_context

import polars as pl

from modelyard.data.features import NARROW_SCHEMA, Plan, features
from modelyard.data.reading.shapes import Shape
from modelyard.data.user_rules import UserRule

PLAN = Plan(
    shape=Shape(name="text_label", columns={"text": "text", "label": "label"}),
    rules=("text_too_short", "fields_present", "duplicate_near", "personal_data", "secret"),
    filters=("gopher_symbol_ratio",),
    user_rules=(UserRule("no_links", "text NOT LIKE '%http%'"),),
    user_columns=("text",),
)
TEXTS = [
    "an ordinary sentence about nothing in particular",
    "short",
    "这家店的服务很好，下次还会再来",
    "see http://a.example for the rest of this story",
    "write to jo@example.org or ring (727) 538-7059 tomorrow",
    "#a #b #c #d #e #f #g #h only signs before the words",
]


def rows(texts: list[str]) -> pl.DataFrame:
    """As `shapes.row_frame` gives them, numbered from 10."""
    frame = pl.DataFrame({"text": texts, "user_0": texts}).with_row_index("row", offset=10)
    empty = ("text_type", "label_type", "shape_problem", "unreadable", "group")
    return frame.with_columns(
        pl.col("row").cast(pl.Int64), label=pl.lit("a"), **{name: pl.lit(None, pl.String) for name in empty}
    )


def test_a_row_is_judged_alike_alone_and_among_others() -> None:
    whole = features(rows(TEXTS), PLAN)
    assert whole.columns == list(NARROW_SCHEMA)
    assert whole["rule"].to_list() == [None, "text_too_short", None, "no_links", None, "gopher_symbol_ratio"]
    assert [one["kind"] for one in whole["flags"][4]] == ["email", "phone_national"]
    alone = pl.concat([features(rows(TEXTS)[place : place + 1], PLAN) for place in range(len(TEXTS))])
    assert alone.equals(whole)
    backwards = features(rows(TEXTS).reverse(), PLAN)
    assert backwards.reverse().equals(whole)


def test_the_function_and_its_plan_travel_to_another_process() -> None:
    with get_context("spawn").Pool(1) as pool:
        there = pool.starmap(features, [(rows(TEXTS), PLAN)])
    assert there[0].equals(features(rows(TEXTS), PLAN))
