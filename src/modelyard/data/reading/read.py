"""Parsing a piece of a file into rows: every field kept, every row with the line it came from."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from modelyard.data.reading.passages import DOCUMENT_CHARACTERS, PASSAGE_CHARACTERS, parse_text
from modelyard.data.reading.records import (
    MAX_COLUMNS,
    Chunk,
    Layout,
    Parse,
    as_string,
    check_columns,
    parse_delimited,
    parse_json,
    parse_json_lines,
    read_layout,
)
from modelyard.data.reading.survey import Cut, Surveyed
from modelyard.errors import Problem

_LAYOUT_BYTES = 1024**2
"""A header and its delimiter are found within the first so many bytes of a file that is cut."""
MAX_JSON_BYTES = 256 * 1024**2
"""A JSON array is parsed whole, which takes some ten times its size in memory; lines of JSON are not."""


@dataclass
class FileFound:
    """What parsing a piece of a file found beside its rows.

    Attributes:
        rows: rows parsed.
        columns: names of columns, in the order of their first use.
        problems: what is wrong.
        lost: quotes were broken so that what follows the piece is in doubt.
        blank_lines: empty lines passed over.
        delimiter: of CSV and TSV.
        sample: the first text that is not ASCII, cut to 20 characters.
        strings: typed column -> values that are strings or missing, and the kind of the first that is neither.
    """

    rows: int = 0
    columns: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost: bool = False
    blank_lines: int = 0
    delimiter: str = ""
    sample: str = ""
    strings: dict[str, tuple[int, str]] = field(default_factory=dict)


def parse_piece(file: Surveyed, cut: Cut, parse: Parse, layout: Layout | None = None) -> Iterator[Chunk]:
    """Records of one piece of a file of any format.

    Args:
        file: as `survey` found it.
        cut: one of its pieces.
        parse: gets the problems; its first line is set here.
        layout: of a CSV file, for a piece that is not its first.
    """
    parse.first_line, parse.broken = cut.first_line, file.broken
    if file.kind == "parquet":
        yield from _parquet_rows(file, cut, parse)
        return
    if file.kind == "json" and cut.end - cut.start > MAX_JSON_BYTES:
        parse.complain(
            f"it is one JSON value of {cut.end - cut.start} bytes, the limit is {MAX_JSON_BYTES}",
            "write one object per line into a .jsonl file",
        )
        return
    if file.kind == "jsonl":
        yield from parse_json_lines(_bytes(file, cut), parse)
        return
    text = _text(file, cut)
    if file.kind == "json":
        yield from parse_json(text, parse)
    elif file.kind in ("text", "passages"):
        yield from parse_text(text, parse, most=DOCUMENT_CHARACTERS if file.kind == "text" else PASSAGE_CHARACTERS)
    else:
        yield from parse_delimited(text, parse, first_choice="\t" if file.kind == "tsv" else ",", layout=layout)


def find_layout(file: Surveyed, parse: Parse) -> Layout | None:
    """The layout that all pieces of a CSV or TSV file but the first need; None where the header cannot be used."""
    first = file.cuts[0]
    text = _text(file, Cut(first.start, min(first.end, first.start + _LAYOUT_BYTES), 1), errors="ignore")
    return read_layout(text, parse, first_choice="\t" if file.kind == "tsv" else ",")


def _bytes(file: Surveyed, cut: Cut) -> bytes:
    with file.plain.open("rb") as handle:
        handle.seek(cut.start)
        return handle.read(cut.end - cut.start)


def _text(file: Surveyed, cut: Cut, errors: str = "strict") -> str:
    return _bytes(file, cut).decode("utf-8", "surrogatepass" if file.broken else errors)


def _parquet_rows(file: Surveyed, cut: Cut, parse: Parse) -> Iterator[Chunk]:
    scan = pl.scan_parquet(file.plain, glob=False, hive_partitioning=False)
    schema = scan.collect_schema()
    if len(schema) > MAX_COLUMNS:
        parse.complain(f"it has {len(schema)} columns, the limit is {MAX_COLUMNS}", "keep those you need")
        return
    check_columns(schema.names(), parse)
    if parse.problems:
        return
    frame = scan.slice(cut.start, cut.end - cut.start).collect()
    if frame.is_empty():
        return
    kinds = {column: _parquet_type(schema[column]) for column in parse.typed if column in schema}
    cells = {column: _strings(frame[column]) for column in frame.columns}
    lines = list(range(cut.first_line, cut.first_line + frame.height))
    bad = _leave_out_nul(cells, parse, lines)
    if bad:
        kept = [place for place, line in enumerate(lines) if line not in bad]
        lines = [lines[place] for place in kept]
        cells = {column: [values[place] for place in kept] for column, values in cells.items()}
    types = {
        column: [None if cell is None else kind for cell in cells[column]] for column, kind in kinds.items() if kind
    }
    yield Chunk(cells, lines, types)


def _strings(series: pl.Series) -> list[str | None]:
    """Values of any Parquet type as strings: binary in hexadecimal, nested as JSON."""
    kind = series.dtype
    if kind == pl.Binary:
        return series.bin.encode("hex").to_list()
    if kind.is_nested():
        return [as_string(value) for value in series.to_list()]
    if kind.is_float():
        series = series.fill_nan(None)  # how pandas writes a missing value
    return series.cast(pl.String).to_list()


def _parquet_type(kind: pl.DataType) -> str | None:
    if kind in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return None
    if kind.is_numeric():
        return "a number"
    if kind == pl.Boolean:
        return "a boolean"
    return "a list" if kind in (pl.List, pl.Array) else "an object" if kind == pl.Struct else f"of type {kind}"


def _leave_out_nul(cells: dict[str, list[str | None]], parse: Parse, lines: list[int]) -> set[int]:
    """As in text formats, a row with a NUL character cannot be read; returns the lines of such rows."""
    bad: set[int] = set()
    for column in dict.fromkeys(parse.wanted):
        for number, cell in zip(lines, cells[column], strict=True):
            if cell is not None and "\0" in cell and number not in bad:
                bad.add(number)
                row = {name: values[number - lines[0]] for name, values in cells.items()}
                raw = as_string(row) or ""
                parse.leave_out(f"{column!r} holds a NUL character, which no text does", "remove it", number, raw)
    return bad
