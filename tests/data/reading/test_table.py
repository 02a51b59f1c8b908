"""Files read into one table: only as much as is wanted, and only the head where the head is asked for."""

from pathlib import Path

import pytest

from modelyard.data.reading.shapes import Shape
from modelyard.data.reading.table import first_chunk, first_columns, first_rows, read_table
from modelyard.errors import InputError

SHAPE = Shape(name="text", columns={"text": "text"})


def test_files_with_other_columns_are_joined_and_every_row_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,site\none,x\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "two"}\n\n{"text": "three", "page": 4}\n', encoding="utf-8")
    told: list[tuple[str, int, int]] = []
    table = read_table(
        [tmp_path / "a.csv", tmp_path / "b.jsonl"],
        root=tmp_path,
        shape=SHAPE,
        progress=lambda *now: told.append(now),
    )
    assert table.rows["source"].to_list() == ["a.csv:2", "b.jsonl:1", "b.jsonl:3"]
    assert table.fields.to_dicts() == [
        {"text": "one", "site": "x", "page": None},
        {"text": "two", "site": None, "page": None},
        {"text": "three", "site": None, "page": "4"},
    ]
    assert [file.path for file in table.files] == ["a.csv", "b.jsonl"]
    assert told == [("read files", 0, 2), ("read files", 1, 2)]


def test_no_further_file_is_opened_once_there_are_enough_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\none\ntwo\n", encoding="utf-8")
    table = read_table([tmp_path / "a.csv", tmp_path / "missing.csv"], root=tmp_path, shape=SHAPE, rows_wanted=2)
    assert table.rows.height == 2


def test_the_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("body\none\n", encoding="utf-8")
    (tmp_path / "b.csv").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        read_table([tmp_path / "a.csv", tmp_path / "b.csv"], root=tmp_path, shape=SHAPE)
    assert sorted(problem.where for problem in caught.value.problems) == ["a.csv:1", "b.csv"]


def test_the_head_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text;label\na;b\nbad\n", encoding="utf-8")
    assert first_columns(path) == ["text", "label"]
    chunk, parse = first_chunk(path)
    assert chunk is not None and dict(chunk.cells) == {"text": ["a"], "label": ["b"]}
    assert [one.line for one in parse.skipped] == [3]
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    assert (first_rows(path), first_columns(path)) == (None, [])
    path.rename(tmp_path / "a.txt")
    assert first_columns(tmp_path / "a.txt") == ["text"]  # whatever its bytes are
