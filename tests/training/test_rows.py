"""From a prepared split to token ids; every bad row is named."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.artifacts.prepared import Prepared, read_prepared
from modelyard.errors import InputError
from modelyard.tasks.classification import encode, load_tokenizer
from modelyard.training import rows as rows_module
from modelyard.training.rows import cut_rows, encode_split


def with_frame(prepared: Path, frame: pl.DataFrame, tmp_path: Path) -> Prepared:
    """The data set with another train split; digests are read_prepared's business."""
    frame.write_parquet(tmp_path / "train.parquet")
    return Prepared(tmp_path, read_prepared(prepared).dataset)


def test_encodes_in_order_and_in_chunks(tiny_base: Path, tiny_prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "CHUNK", 7)
    data, tokenizer, told = read_prepared(tiny_prepared), load_tokenizer(tiny_base), []
    rows = encode_split(tokenizer, data, "train", progress=lambda *word: told.append(word))
    frame = data.split("train")
    assert [list(row) for row in rows.ids] == encode(tokenizer, frame["text"].to_list(), max_length_tokens=999)
    assert rows.labels.tolist() == data.label_indices("train")
    assert rows.sources == frame["source"].to_list()
    assert told[0] == ("tokenise train", 7, 160)
    assert told[-1] == ("tokenise train", 160, 160)


def test_cuts_as_every_later_stage_does(tiny_base: Path, tiny_prepared: Path) -> None:
    data, tokenizer = read_prepared(tiny_prepared), load_tokenizer(tiny_base)
    rows = encode_split(tokenizer, data, "train")
    cut, (measured,) = cut_rows(tokenizer, rows, data, "train", 12)
    texts = data.split("train")["text"].to_list()
    assert [list(row) for row in cut.ids] == encode(tokenizer, texts, max_length_tokens=12)
    assert measured.interval.estimate * 160 == sum(length > 12 for length in rows.lengths) > 0
    assert cut_rows(tokenizer, rows, data, "train", 500)[0] == rows


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", "ugly", "the label 'ugly' of a train row is not one of the 2"),
        ("label", None, "the label None"),
        ("text", None, "the text of a train row is None: it must be a string"),
    ],
)
def test_bad_rows_are_named_all_at_once(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, column: str, value: Any, message: str
) -> None:
    frame = read_prepared(tiny_prepared).split("train")
    bad = pl.int_range(pl.len()).is_in([3, 5])
    data = with_frame(
        tiny_prepared,
        frame.with_columns(pl.when(bad).then(pl.lit(value, pl.String)).otherwise(column).alias(column)),
        tmp_path,
    )
    with pytest.raises(InputError) as caught:
        encode_split(load_tokenizer(tiny_base), data, "train")
    assert [problem.where for problem in caught.value.problems] == ["rows.csv:5", "rows.csv:7"]
    assert message in caught.value.problems[0].message


def test_a_split_without_rows_or_columns(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    frame = read_prepared(tiny_prepared).split("train")
    tokenizer = load_tokenizer(tiny_base)
    with pytest.raises(InputError, match="train has no rows"):
        encode_split(tokenizer, with_frame(tiny_prepared, frame.clear(), tmp_path), "train")
    with pytest.raises(InputError, match="train has no column label, site"):
        encode_split(tokenizer, with_frame(tiny_prepared, frame.drop("label", "site"), tmp_path), "train")


def test_a_text_without_a_token(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    frame = read_prepared(tiny_prepared).split("train").with_columns(text=pl.lit(""))
    tokenizer = load_tokenizer(tiny_base)
    tokenizer.post_processor = None  # no special tokens
    with pytest.raises(InputError, match="has no token"):
        encode_split(tokenizer, with_frame(tiny_prepared, frame, tmp_path), "train")
