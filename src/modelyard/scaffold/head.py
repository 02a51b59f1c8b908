"""The first rows of a data file, whatever its format: enough to guess by. Whether every row holds is `check`'s work."""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.data.decode import decode_text, read_bytes
from modelyard.data.locate import file_format
from modelyard.errors import InputError, Problem
from modelyard.scaffold.guess import Head

MAX_ROWS = 2000
MAX_COLUMNS = 1000


def read_head(path: Path) -> Head:
    """Read up to 2,000 rows.

    Raises:
        InputError: there is no such file, it is of no kind that is read, or it holds no rows with named columns.
    """
    where = str(path)
    if not path.is_file():
        raise InputError(Problem(f"{where!r} is not a file", "name a data file with --data", "--data"))
    kind = file_format(path)
    if kind is None:
        raise InputError(
            Problem(
                f"{path.name!r} is of a kind that is not read",
                "convert it: CSV, TSV, JSON, JSONL and Parquet are read, also .gz and .zst",
                "--data",
            )
        )
    try:
        rows = list(itertools.islice(_rows(path, kind), MAX_ROWS))
    except (csv.Error, ValueError, RecursionError) as error:
        raise InputError(
            Problem(f"it cannot be read as {kind}: {error}", "mend it, or give it the ending of its format", where)
        ) from error
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns or not rows:
        raise InputError(Problem("it holds no rows with named columns", "give it a header and rows", where))
    if len(columns) > MAX_COLUMNS:
        raise InputError(
            Problem(f"it has {len(columns)} columns, the limit is {MAX_COLUMNS}", "keep those that are needed", where)
        )
    return Head(columns, rows)


def _rows(path: Path, kind: str) -> Iterator[dict[str, str | None]]:
    if kind == "parquet":
        return _parquet_rows(path)
    text, _ = decode_text(read_bytes(path, str(path)), str(path))
    if kind in ("csv", "tsv"):
        return _table_rows(text, "\t" if kind == "tsv" else _separator(text))
    records = (json.loads(line) for line in text.split("\n") if line.strip()) if kind == "jsonl" else _records(text)
    return (
        {str(key): _shown(value) for key, value in record.items()} for record in records if isinstance(record, dict)
    )


def _separator(text: str) -> str:
    """Of the separators that files named .csv have, the one that the header has most of."""
    header = text.split("\n", 1)[0]
    return max(",;\t|", key=header.count)


def _table_rows(text: str, separator: str) -> Iterator[dict[str, str | None]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = next(reader, [])
    for values in reader:
        if values:
            yield dict(itertools.zip_longest(header, values[: len(header)]))


def _records(text: str) -> list[Any]:
    content = json.loads(text)
    lists = [content] if isinstance(content, list) else [value for value in content.values() if isinstance(value, list)]
    return lists[0] if lists else []


def _parquet_rows(path: Path) -> Iterator[dict[str, str | None]]:
    import polars as pl

    try:
        frame = pl.scan_parquet(path, glob=False).head(MAX_ROWS).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(str(error).split("\n", 1)[0]) from error
    return ({name: _shown(value) for name, value in row.items()} for row in frame.iter_rows(named=True))


def _shown(value: Any) -> str | None:  # noqa: ANN401
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
