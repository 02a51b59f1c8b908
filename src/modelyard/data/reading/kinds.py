"""What a file really is, by its first bytes: a workbook, an archive or a database is no table of text."""

from pathlib import Path

from modelyard.errors import Problem

_HEAD_BYTES = 64 * 1024
"""Read at either end of a file: an archive names its members at its end."""
_AS_CSV = "save it as CSV UTF-8 from the program that made it, and name that file"
_UNPACK = "unpack it, and name the data file in it"
_EXPORT = "export the table as CSV, JSONL or Parquet, and name that file"
_AGAIN = "download the data file itself, and look at it before you name it"

_STARTS = (
    (b"%PDF-", "a PDF document", _EXPORT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook or another Office document (.xls, .doc)", _AS_CSV),
    (b"SQLite format 3\0", "an SQLite database", _EXPORT),
    (b"PAR1\x15", "a Parquet file", "let its name end in .parquet"),
    (b"\x1f\x8b", "a file compressed with gzip", "let its name end in .gz, as in rows.csv.gz"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with Zstandard", "let its name end in .zst, as in rows.csv.zst"),
    (b"BZh91AY&SY", "a file compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "a file compressed with xz", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"ARROW1\0\0", "an Arrow (Feather) file", "write it as Parquet, and name that file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", _EXPORT),
    (b"\x80\x04\x95", "a Python pickle, which is never opened here", _EXPORT),
    (b"\x89PNG\r\n\x1a\n", "a picture", _EXPORT),
    (b"\xff\xd8\xff", "a picture", _EXPORT),
    (b"version https://git-lfs.github.com/", "a pointer of Git LFS", "run `git lfs pull` where it lies"),
    (b"<!DOCTYPE html", "a web page", _AGAIN),
    (b"<!doctype html", "a web page", _AGAIN),
    (b"<html", "a web page", _AGAIN),
)
"""First bytes, what such a file is, and what to do. Sources: each format's specification; file(1) for the pictures."""
_ZIPPED = (
    (b"xl/workbook", "an Excel workbook (.xlsx)", _AS_CSV),
    (b"word/document", "a Word document (.docx)", _EXPORT),
    (b"opendocument.spreadsheet", "a LibreOffice spreadsheet (.ods)", _AS_CSV),
    (b"", "a ZIP archive", _UNPACK),
)


def foreign_problem(data: bytes, where: str) -> Problem | None:
    """The problem of content that is known to be something else than a table of text; None where it may be one.

    Args:
        data: all of a file, or its two ends.
        where: what the problem points at.
    """
    if data.startswith(b"PK\x03\x04"):
        what, next_step = next((what, step) for member, what, step in _ZIPPED if member in data)
        return Problem(f"it is {what}, not a table of text", next_step, where)
    for start, what, next_step in _STARTS:
        if data.startswith(start):
            return Problem(f"it is {what}, not a table of text", next_step, where)
    return None


def foreign_file(path: Path, where: str) -> Problem | None:
    """`foreign_problem` of a file, of which at most its two ends are read; None too where it cannot be read."""
    try:
        with path.open("rb") as handle:
            data = handle.read(_HEAD_BYTES)
            handle.seek(max(len(data), path.stat().st_size - _HEAD_BYTES))
            return foreign_problem(data + handle.read(_HEAD_BYTES), where)
    except OSError:
        return None
