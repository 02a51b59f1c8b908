"""Rows that meet, made for a test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from modelyard.data import meeting
from modelyard.data.features import Plan, features
from modelyard.data.mapping import slice_name, wide_name
from modelyard.data.meeting import Connection
from modelyard.data.reading.shapes import Shape

Row = tuple[str, str | None, str, str | None]
"""Text, label, the split it was named for, group."""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with meeting.open_meeting(tmp_path, memory_bytes=200 * 1024**2, threads=1) as opened:
        yield opened


@pytest.fixture
def load() -> Callable[..., None]:
    """Put rows through `features` into a meeting, `near=True` with the keys of near copies."""
    return _load


def _load(connection: Connection, folder: Path, rows: list[Row], *, near: bool = False) -> None:
    shape = Shape(name="text_label", columns={"text": "text", "label": "label"})
    frame = pl.DataFrame(rows, schema=["text", "label", "part", "group"], orient="row").cast(pl.String)
    nothing = {name: pl.lit(None, pl.String) for name in ("text_type", "label_type", "shape_problem", "unreadable")}
    frame = frame.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64), **nothing)
    frame = frame.with_columns(pl.lit("film").alias(slice_name("site")))
    narrow = features(
        frame.drop("part"), Plan(shape=shape, rules=("text_too_short", *(("duplicate_near",) if near else ())))
    )
    place = {"file": pl.lit(0, pl.Int32), "line": pl.col("place") + 2, "piece": pl.lit(0, pl.Int32)}
    narrow = narrow.rename({"row": "place"}).with_columns(frame["part"]).with_columns(**place)
    narrow.write_parquet(folder / "narrow-0.parquet")
    wide = frame.select(pl.col("row").alias("place"), pl.col("text").alias(wide_name("text")))
    wide.with_columns(piece=pl.lit(0, pl.Int32)).write_parquet(folder / "wide-0.parquet")
    meeting.load_rows(connection, folder, [len(rows)], ["r.csv"])
