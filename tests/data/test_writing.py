"""The files of `prepared/`."""

from pathlib import Path
from typing import Any

import polars as pl

from modelyard.artifacts.prepared import DROPPED_COLUMNS
from modelyard.data import meeting, placing, writing
from modelyard.data.meeting import Connection
from modelyard.data.reading.shapes import Shape
from modelyard.data.split import shares_of

ROWS = [
    ("the first of two texts", "a", "train", None),
    ("The  first of two texts", "a", "train", None),
    ("short", "a", "train", None),
]


def test_a_dropped_row_names_the_row_that_it_is_a_copy_of(connection: Connection, load: Any, tmp_path: Path) -> None:
    load(connection, tmp_path, ROWS)
    meeting.drop_duplicates(connection)
    writing.write_dropped(connection, tmp_path / "dropped.parquet", {"text": "text"}, "raw")
    found = pl.read_parquet(tmp_path / "dropped.parquet")
    assert found.columns == ["text", *DROPPED_COLUMNS]
    assert found.select("text", "source", "rule", "twin").rows() == [
        ("The  first of two texts", "r.csv:3", "duplicate_exact", "r.csv:2"),
        ("short", "r.csv:4", "text_too_short", None),
    ]


def test_a_split_holds_its_rows_in_the_order_of_their_hashes(connection: Connection, load: Any, tmp_path: Path) -> None:
    rows = [(f"text of number {n}", "ab"[n % 2], "train", None) for n in range(40)]
    load(connection, tmp_path, rows)
    placing.place_rows(connection, tmp_path, shares=shares_of(0.2, 0.2), seed=1, grouped=False)
    shape = Shape(name="text_label", columns={"text": "text", "label": "label"})
    written = []
    for split in ("train", "validation", "test"):
        writing.write_split(connection, split, tmp_path / f"{split}.parquet", shape, ["site"])
        frame = pl.read_parquet(tmp_path / f"{split}.parquet")
        assert frame.columns == ["id", "source", "text", "label", "site", "group"]
        written += frame.select("text", "label").rows()
    assert sorted(written) == sorted((text, label) for text, label, *_ in rows)
