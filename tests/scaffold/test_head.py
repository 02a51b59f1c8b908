import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import zstandard

from modelyard.errors import InputError
from modelyard.scaffold import head as head_module
from modelyard.scaffold.head import read_head

ROWS = [{"text": '好电影, "really"\nyes', "label": "good"}, {"text": "bad", "label": "bad"}]


def csv_text(separator: str = ",") -> str:
    return f'text{separator}label\n"好电影, ""really""\nyes"{separator}good\nbad{separator}bad\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", csv_text().encode()),
        ("a.csv", csv_text(";").encode("utf-8-sig")),
        ("a.csv", csv_text().encode("gb18030")),
        ("a.tsv", csv_text("\t").encode()),
        ("a.csv.gz", gzip.compress(csv_text().encode(), mtime=0)),
        ("a.csv.zst", zstandard.compress(csv_text().encode())),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json", json.dumps({"data": ROWS}).encode()),
        ("a.jsonl", "\n".join(map(json.dumps, ROWS)).encode()),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    head = read_head(tmp_path / name)
    assert (head.columns, head.rows) == (["text", "label"], ROWS)


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a[1].parquet"  # not a glob
    pl.DataFrame({"text": ["a", None], "stars": [1, 5]}).write_parquet(path)
    assert read_head(path).rows == [{"text": "a", "stars": "1"}, {"text": None, "stars": "5"}]


@pytest.mark.parametrize("compressor", [(".gz", gzip.compress), (".zst", zstandard.compress)], ids=["gz", "zst"])
def test_compressed_parquet(tmp_path: Path, compressor: tuple[str, Callable[[bytes], bytes]]) -> None:
    ending, compress = compressor
    pl.DataFrame(ROWS).write_parquet(tmp_path / "a.parquet")
    path = tmp_path / f"a.parquet{ending}"
    path.write_bytes(compress((tmp_path / "a.parquet").read_bytes()))
    head = read_head(path)
    assert (head.columns, head.rows) == (["text", "label"], ROWS)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_no_more_rows_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(head_module, "MAX_ROWS", 1)
    frame = pl.DataFrame(ROWS)
    frame.write_csv(tmp_path / name) if name == "a.csv" else frame.write_parquet(tmp_path / name)
    assert read_head(tmp_path / name).rows == ROWS[:1]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"text,label\n", "holds no rows"),
        ("a.csv", b"a,b\n1\n1,2,3\n", "the row has 3 cells"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[" * 100_000, "nested too deep"),
        ("a.json", b"[]", "holds no rows"),
        ("a.json", b"3", "not an array of objects"),
        ("a.jsonl", b"3\n4\n", "not an object"),
        ("a.parquet", b"PAR1 not", "not a Parquet file"),
        ("a.csv.gz", b"\x1f\x8bnot", "cut off or damaged"),
        ("a.xlsx", b"x", "of a kind that is not read"),
        ("a.csv", ",".join(map(str, range(1001))).encode() + b"\n1\n", "1001 columns"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_head(tmp_path / name)


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    pl.DataFrame({"text": []}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds no rows"):
        read_head(tmp_path / "a.parquet")


def test_the_first_file_of_a_folder_speaks_for_the_others(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("body,queue\nanother text,b\n")
    (tmp_path / "a.csv").write_text("body,queue\na text,a\n")
    head = read_head(tmp_path)
    assert head.rows == [{"body": "a text", "queue": "a"}] and not head.plain


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file that is read"):
        read_head(tmp_path)
    with pytest.raises(InputError, match="is not a file"):
        read_head(tmp_path / "a.csv")
