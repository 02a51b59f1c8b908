"""The first rows of a data file, whatever its format, read by the parsers that `check` will read it with."""

from pathlib import Path

from modelyard.data.locate import file_format
from modelyard.data.problems import raise_found
from modelyard.data.read import read_chunks
from modelyard.data.records import Parse
from modelyard.errors import InputError, Problem
from modelyard.scaffold.guess import Head

MAX_ROWS = 2000


def read_head(path: Path) -> Head:
    """Read up to 2,000 rows.

    Raises:
        InputError: there is no such file, it is of no kind that is read, it holds no rows, or one of the first 100,000
            rows is broken.
    """
    if not path.is_file():
        raise InputError(Problem(f"{str(path)!r} is not a file", "name a data file", "--data"))
    if file_format(path) is None:
        raise InputError(
            Problem(
                f"{path.name!r} is of a kind that is not read",
                "convert it: CSV, TSV, JSON, JSONL and Parquet are read, also .gz and .zst",
                "--data",
            )
        )
    parse = Parse(str(path), (), ("", ""))
    chunks, _ = read_chunks(path, parse, rows_wanted=MAX_ROWS)
    chunk = next(chunks, None)
    raise_found(parse.problems)
    if chunk is None or not chunk.cells:
        raise InputError(Problem("it holds no rows", "give it a header and rows", str(path)))
    count = min(len(chunk.lines), MAX_ROWS)
    rows = [{column: cells[row] for column, cells in chunk.cells.items()} for row in range(count)]
    return Head(list(chunk.cells), rows)
