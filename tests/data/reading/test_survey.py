"""Files looked through and cut: what is parsed piece by piece is what stands in the file."""

import codecs
import csv
import gzip
import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.data.reading import survey as module
from modelyard.data.reading.shapes import Shape
from modelyard.data.reading.survey import survey
from modelyard.data.reading.table import read_table
from modelyard.errors import InputError

SHAPE = Shape(name="text_label", columns={"text": "text", "label": "label"})


def test_a_plain_file_is_read_where_it_lies(tmp_path: Path) -> None:
    data = "text,label\n很好,好\n".encode()
    (tmp_path / "a.csv").write_bytes(data)
    found = survey(tmp_path / "a.csv", tmp_path, tmp_path)
    assert found.plain == tmp_path / "a.csv"
    assert found.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert [(cut.start, cut.end, cut.first_line) for cut in found.cuts] == [(0, len(data), 1)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("whole", [10**9, 0])
def test_other_encodings_in_memory_and_piece_by_piece(
    encoding: str, whole: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", whole)
    text = "text,label\n" + "".join(f"第{n}条评论：真的很好看，推荐给大家,好\n" for n in range(300))
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = survey(tmp_path / "a.csv", tmp_path, scratch)
    assert found.encoding == encoding
    plain = found.plain.read_bytes()[found.cuts[0].start :].decode("utf-8")
    assert plain == text


def test_broken_lines_of_a_large_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", 0)
    lines = [f"第{n}条评论：真的很好看,好".encode() for n in range(1000)]
    lines[500] = lines[500][:5] + b"\xff" + lines[500][5:]
    (tmp_path / "a.csv").write_bytes(b"text,label\n" + b"\n".join(lines) + b"\n")
    with pytest.raises(InputError) as caught:
        survey(tmp_path / "a.csv", tmp_path, tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["a.csv:502"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert survey(tmp_path / "a.csv", tmp_path, scratch, skip_bad_rows=True).broken


def test_a_compressed_file_gets_a_plain_copy(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"text,label\na,b\n"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = survey(tmp_path / "a.csv.gz", tmp_path, scratch)
    assert found.plain.parent == scratch
    assert found.plain.read_bytes() == b"text,label\na,b\n"
    assert found.digest == "sha256:" + hashlib.sha256((tmp_path / "a.csv.gz").read_bytes()).hexdigest()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(alphabet='a,"\n 好', max_size=12), min_size=1, max_size=30),
    size=st.integers(1, 60),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_pieces_give_the_rows_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], size: int, end: str
) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", size)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["text", "label"])
    writer.writerows([text, "x"] for text in texts)
    (tmp_path / "a.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    table = read_table([tmp_path / "a.csv"], root=tmp_path, shape=SHAPE)
    assert table.rows["text"].to_list() == texts
    # the physical line where each record starts, from where the csv module ends the one before
    reader = csv.reader(io.StringIO(out.getvalue(), newline=""))
    ends = [reader.line_num for _ in reader]
    assert table.rows["line"].to_list() == [line + 1 for line in ends[:-1]]


def test_a_stray_quote_does_not_make_one_piece_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 100)
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 400)
    rows = [f"a screen of {n} inches,x" for n in range(100)]
    rows[3] = 'a 15" screen,x'
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = survey(tmp_path / "a.csv", tmp_path, scratch)
    assert max(cut.end - cut.start for cut in found.cuts) < 600
    table = read_table([tmp_path / "a.csv"], root=tmp_path, shape=SHAPE)
    assert table.rows["text"].to_list() == [row.removesuffix(",x") for row in rows]


def test_after_a_quote_that_never_closes_nothing_more_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 100)
    rows = [f"row {n} of many,x" for n in range(200)]
    rows[50] = '"never closed,x'
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_table([tmp_path / "a.csv"], root=tmp_path, shape=SHAPE)
    assert [problem.where for problem in caught.value.problems] == ["a.csv:52"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.jsonl.gz"])
def test_a_line_without_end_is_refused_before_it_is_held(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 1000)
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 2000)
    data = b"text,label\n" + b"x" * 3_000_000
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(InputError, match="longer than 4000 bytes") as caught:
        survey(tmp_path / name, tmp_path, scratch)
    assert caught.value.problems[0].where in (f"{name}:1", f"{name}:2")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_a_head_is_the_first_piece_and_reads_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 1_000)
    row = '{"text": "a\u4e00"}\n' if "jsonl" in name else '"a, line\nand more",b\n'
    data = (codecs.BOM_UTF8 if "csv" in name else b"") + (row * 100_000).encode() + b"\xff\xfe no UTF-8 at all"
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    head = survey(tmp_path / name, tmp_path, tmp_path, head=True)
    (first,) = head.cuts
    content = head.plain.read_bytes()[first.start : first.end]
    assert content == (row * (len(content) // len(row.encode()))).encode() and 1_000 <= len(content) < 1_100
    with pytest.raises(InputError):  # the whole file is looked at where it is asked for
        survey(tmp_path / name, tmp_path, tmp_path)
