from pathlib import Path

import polars as pl

from modelyard.data.mapping import wide_name
from modelyard.data.reading.shapes import TEXT, Shape
from modelyard.data.texts import text_reader


def test_texts_of_rows_wherever_they_lie(tmp_path: Path) -> None:
    for piece, texts in enumerate((["a", "b", "c"], ["d"], ["e", "f"])):
        frame = pl.DataFrame({wide_name("body"): texts, wide_name(TEXT): [f"{text}!" for text in texts]})
        frame.write_parquet(tmp_path / f"wide-{piece:07d}.parquet")
    read = text_reader(tmp_path, [3, 1, 2], Shape(name="text", columns={"text": "body"}))
    assert read([6, 1, 4, 3]).rows() == [(6, "f"), (1, "a"), (4, "d"), (3, "c")]
    derived = Shape(name="prompt_completion", columns={"prompt": "p", "completion": "c"})
    assert text_reader(tmp_path, [3, 1, 2], derived)([5])["text"].to_list() == ["e!"]


def test_a_bundle_without_rows_has_no_file(tmp_path: Path) -> None:
    pl.DataFrame({wide_name("body"): ["a"]}).write_parquet(tmp_path / "wide-0000001.parquet")
    assert text_reader(tmp_path, [0, 1], Shape(name="text", columns={"text": "body"}))([1])["text"].to_list() == ["a"]
