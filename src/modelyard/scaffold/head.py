"""The first rows of a data file, whatever its format, read by the parsers that `check` will read it with."""

from collections.abc import Iterator
from pathlib import Path

from modelyard.data.decode import decode_text, read_bytes
from modelyard.data.locate import file_format
from modelyard.data.problems import raise_found
from modelyard.data.records import Chunk, Parse, as_string, parse_delimited, parse_json, parse_json_lines
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
    kind = file_format(path)
    if kind is None:
        raise InputError(
            Problem(
                f"{path.name!r} is of a kind that is not read",
                "convert it: CSV, TSV, JSON, JSONL and Parquet are read, also .gz and .zst",
                "--data",
            )
        )
    parse = Parse(str(path), (), ("", ""))
    chunk = next(_chunks(path, kind, parse), None)
    raise_found(parse.problems)
    if chunk is None or not chunk.cells:
        raise InputError(Problem("it holds no rows", "give it a header and rows", str(path)))
    count = min(len(chunk.lines), MAX_ROWS)
    rows = [{column: cells[row] for column, cells in chunk.cells.items()} for row in range(count)]
    return Head(list(chunk.cells), rows)


def _chunks(path: Path, kind: str, parse: Parse) -> Iterator[Chunk]:
    if kind == "parquet":
        return _parquet_chunk(path, parse)
    text, _ = decode_text(read_bytes(path, parse.name), parse.name)
    if kind == "jsonl":
        return parse_json_lines(text, parse)
    if kind == "json":
        return parse_json(text, parse)
    return parse_delimited(text, parse, first_choice="\t" if kind == "tsv" else ",")


def _parquet_chunk(path: Path, parse: Parse) -> Iterator[Chunk]:
    import polars as pl

    try:
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False).head(MAX_ROWS).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        parse.complain(f"not a Parquet file that can be read: {reason}", "write it again, or export it as CSV")
        return
    if frame.height:
        cells = {column: [as_string(value) for value in frame[column].to_list()] for column in frame.columns}
        yield Chunk(cells, list(range(1, frame.height + 1)))
