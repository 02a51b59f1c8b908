import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from modelyard.data.reading.shapes import Shape
from modelyard.data.reading.table import Table, read_table
from modelyard.errors import InputError


def read(folder: Path, *names: str, text: str = "text", label: str = "label", others: tuple[str, ...] = ()) -> Table:
    shape = Shape(name="text_label", columns={"text": text, "label": label})
    return read_table([folder / name for name in names], root=folder, shape=shape, others=others)


def problems(folder: Path, *names: str, **settings: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, *names, **settings)
    assert all(problem.next_step for problem in caught.value.problems)
    return [f"{problem.where} {problem.message}" for problem in caught.value.problems]


def test_physical_lines_of_multi_line_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b'text,label,site\r\n"one\r\ntwo",x,s\r\n\r\n"a ""quote"", and more",y,t\r\nlast,x,\r\n'
    )
    table = read(tmp_path, "a.csv")
    assert table.rows["source"].to_list() == ["a.csv:2", "a.csv:5", "a.csv:6"]
    assert table.rows["text"].to_list() == ["one\r\ntwo", 'a "quote", and more', "last"]
    assert table.fields.columns == ["text", "label", "site"]
    assert table.found[0].rows == 3
    assert table.found[0].blank_lines == 1


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_delimiters_of_spreadsheets(tmp_path: Path, sign: str) -> None:
    rows = "".join(f'"so, ein; Käse|{n}"{sign}{n}{sign}\r\n' for n in range(3))
    (tmp_path / "a.csv").write_bytes(f"text{sign}label{sign}\r\n{rows}".encode("cp1252"))
    table = read(tmp_path, "a.csv")
    assert (table.found[0].delimiter, table.files[0].encoding) == (sign, "cp1252")
    assert table.found[0].sample == "so, ein; Käse|0"
    assert table.rows["label"].to_list() == ["0", "1", "2"]
    assert table.fields.columns[2] == "column_3"


def test_excel_says_its_delimiter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\ntext;label\na,b,c;x\n", encoding="utf-8-sig")
    assert read(tmp_path, "a.csv").rows.select("source", "text").row(0) == ("a.csv:3", "a,b,c")


def test_all_problems_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\none,x\ntwo\n"ba"d,x\nfour,x,y\n"never closed,x\nfive,x\n')
    assert problems(tmp_path, "a.csv") == [
        "a.csv:3 the row has 1 cells, the header 2 (delimiter ',')",
        "a.csv:4 the quotes are broken: ',' expected after '\"'",
        "a.csv:5 the row has 3 cells, the header 2 (delimiter ',')",
        "a.csv:6 a quoted cell that starts here is never closed",
    ]


def test_a_cell_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.data.reading.records.MAX_CELL_CHARACTERS", 100)
    (tmp_path / "a.csv").write_text('text,label\n"' + "word\n" * 50 + '",x\n')
    assert "a.csv:2 a cell that starts here is longer than 100 characters: an unclosed quote" in problems(
        tmp_path, "a.csv"
    )


def test_headers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Text,label,label\na,b,c\n")
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_text(",".join(f"c{n}" for n in range(1001)) + "\n")
    found = problems(tmp_path, "a.csv", "b.csv", "c.csv")
    assert found[:3] == [
        "a.csv:1 the column 'label' stands in the header twice",
        "a.csv:1 there is no column 'text'",
        "b.csv the file is empty",
    ]
    assert "c.csv:1 the header has 1001 columns, the limit is 1000" in found
    with pytest.raises(InputError, match="did you mean 'Text'"):
        read(tmp_path, "a.csv")
    with pytest.raises(InputError, match="columns here: 'Text', 'label'"):
        read(tmp_path, "a.csv", text="完全不同")


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 5, "x": [1]}, {"text": 7, "label": True}, {"label": "z", "text": None}]
    (tmp_path / "a.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    table = read(tmp_path, "a.jsonl")
    assert table.rows["source"].to_list() == ["a.jsonl:1", "a.jsonl:3", "a.jsonl:5"]
    assert table.rows["label"].to_list() == ["5", "true", "z"]
    assert table.rows["text_type"].to_list() == [None, "a number", None]
    assert table.fields["x"].to_list() == ["[1]", None, None]
    assert table.found[0].blank_lines == 2


def test_all_problems_of_json_lines(tmp_path: Path) -> None:
    lines = [
        '{"text": "a", "label": "b"}',
        "{",
        "[1]",
        "null",
        '{"text": "\\ud800"}',
        '{"text": "\\u0000"}',
        "[" * 100_000,
    ]
    lines.append("1" * 5000)
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = problems(tmp_path, "a.jsonl")
    assert [line.partition(" ")[0] for line in found] == [f"a.jsonl:{number}" for number in range(2, 9)]


def test_json_emoji_pairs_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "\\ud83d\\ude00 fine \\\\u0000", "label": "b"}]')
    assert read(tmp_path, "a.json").rows["text"].to_list() == ["😀 fine \\u0000"]


@pytest.mark.parametrize("wrap", ["{}", '{{"data": {}}}'])
def test_json_arrays(tmp_path: Path, wrap: str) -> None:
    (tmp_path / "a.json").write_text(wrap.format('[{"text": "a", "label": "x"},\n {"text": "b", "label": "y"}]'))
    assert read(tmp_path, "a.json").rows["source"].to_list() == ["a.json:1", "a.json:2"]


def test_problems_of_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "a", "label": "b"}, 3, "x"]')
    (tmp_path / "b.json").write_text('{"rows": []}')
    (tmp_path / "c.json").write_text('[\n{"text": }]')
    (tmp_path / "d.json").write_text("null")
    assert problems(tmp_path, "a.json", "b.json", "c.json", "d.json") == [
        "a.json:2 entry 2 is a number, not an object",
        "a.json:3 entry 3 is a string, not an object",
        "b.json the file holds an object, not an array of objects",
        "c.json:2 not JSON: Expecting value at column 10",
        "d.json it holds null, not an object",
    ]


def test_a_wholly_wrong_column(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": 1, "label": ["x"]}\n{"text": 2, "label": {}}\n')
    pl.DataFrame({"text": [1.5], "label": ["x"]}).write_parquet(tmp_path / "b.parquet")
    assert problems(tmp_path, "a.jsonl", "b.parquet") == [
        "a.jsonl no value of 'text' is text: the first is a number",
        "a.jsonl no value of 'label' is a single label: the first is a list",
        "b.parquet no value of 'text' is text: the first is a number",
    ]


def test_too_many_keys(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "label": "b", **{f"k{n}": 1 for n in range(1000)}}))
    assert problems(tmp_path, "a.jsonl") == ["a.jsonl the objects have 1002 different keys, the limit is 1000"]


def test_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"text": ["a", None], "label": [1, 2], "tags": [["x"], []], "raw": [b"\xff", b""], "yes": [True, None]}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    table = read(tmp_path, "a.parquet", "b.parquet.gz")
    assert table.rows["source"].to_list() == ["a.parquet:1", "a.parquet:2", "b.parquet.gz:1", "b.parquet.gz:2"]
    assert table.rows["label"].to_list() == ["1", "2"] * 2
    assert table.fields["tags"].to_list()[:2] == ['["x"]', "[]"]
    assert table.fields["raw"].to_list()[:2] == ["ff", ""]
    assert table.fields["yes"].to_list()[:2] == ["true", None]


def test_problems_of_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1garbagegarbagePAR1")
    pl.DataFrame({"text": ["a\0"], "label": ["x"]}).write_parquet(tmp_path / "b.parquet")
    pl.DataFrame({"txt": ["a"], "label": ["x"]}).write_parquet(tmp_path / "c.parquet")
    pl.DataFrame({f"c{n}": [1] for n in range(1001)}).write_parquet(tmp_path / "d.parquet")
    found = problems(tmp_path, "a.parquet", "b.parquet", "c.parquet", "d.parquet")
    assert found[0].startswith("a.parquet not a Parquet file that can be read: ")
    assert found[1:] == [
        "b.parquet:1 'text' holds a NUL character, which no text does",
        "c.parquet there is no column 'text'",
        "d.parquet it has 1001 columns, the limit is 1000",
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet"])
def test_chunks_join(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.data.reading.records.CHUNK_ROWS", 2)
    monkeypatch.setattr("modelyard.data.reading.survey.PIECE_BYTES", 12)
    rows = [{"text": f"t{n}", "label": "x"} for n in range(5)]
    frame = pl.DataFrame(rows)
    if name == "a.json":
        (tmp_path / name).write_text(json.dumps(rows))
    else:
        {"v": frame.write_csv, "l": frame.write_ndjson, "t": frame.write_parquet}[name[-1]](tmp_path / name)
    first = 2 if name == "a.csv" else 1
    table = read(tmp_path, name)
    assert table.rows["source"].to_list() == [f"{name}:{line}" for line in range(first, first + 5)]
    assert table.fields["text"].to_list() == ["t0", "t1", "t2", "t3", "t4"]


def test_files_with_different_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,x\na,1,p\n")
    (tmp_path / "b.tsv").write_text("label\ttext\ty\n2\tb\tq\n")
    table = read(tmp_path, "a.csv", "b.tsv")
    assert table.fields.to_dicts() == [
        {"text": "a", "label": "1", "x": "p", "y": None},
        {"text": "b", "label": "2", "x": None, "y": "q"},
    ]
    assert problems(tmp_path, "a.csv", "b.tsv", others=("x",)) == ["b.tsv:1 there is no column 'x'"]  # type: ignore[arg-type]
