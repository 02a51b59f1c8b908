"""Files that are something else, by their first bytes and not by their name."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from modelyard.data.reading.kinds import _STARTS, foreign_file, foreign_problem


def zipped(*members: str, size: int = 0) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member in members:
            archive.writestr(member, os.urandom(size))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
        (zipped("word/document.xml"), "a Word document"),
        (zipped("rows.csv"), "a ZIP archive"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_what_it_is(data: bytes, what: str) -> None:
    problem = foreign_problem(data, "x.csv")
    assert problem is not None and what in problem.message and problem.next_step


@pytest.mark.parametrize(
    "data",
    [b"", b"text,label\n", b"P,K\n", b"BZh,PAR1\n", b"PAR1,label\n", b"PK,label\n", b"version,label\n", b'[{"a": 1}]'],
)
def test_a_table_is_left_alone(data: bytes) -> None:
    assert foreign_problem(data, "x.csv") is None


def test_the_members_of_a_large_archive_stand_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(zipped("one", "two", "xl/workbook.xml", size=200_000))
    problem = foreign_file(tmp_path / "x.xlsx", "x.xlsx")
    assert problem is not None and "an Excel workbook" in problem.message
    assert foreign_file(tmp_path / "nowhere", "x") is None


def test_no_start_hides_another() -> None:
    starts = [start for start, _, _ in _STARTS]
    assert len(starts) == len(set(starts)) >= 20
    assert not [one for one in starts for other in starts if one != other and one.startswith(other)]
