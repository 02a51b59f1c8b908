"""Reading raw files into one table: every field kept, every row with the place it came from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import polars as pl

from modelyard.artifacts.files import digest_file
from modelyard.data.damage import find_damage
from modelyard.data.decode import BROKEN, decode_text, read_bytes
from modelyard.data.kinds import foreign_file, foreign_problem
from modelyard.data.locate import COMPRESSED, file_format, shown_path
from modelyard.data.problems import raise_found
from modelyard.data.records import (
    CHUNK_ROWS,
    MAX_COLUMNS,
    MAX_ROWS,
    Chunk,
    Parse,
    as_string,
    check_columns,
    parse_delimited,
    parse_json,
    parse_json_lines,
)
from modelyard.errors import InputError, Problem
from modelyard.progress import Progress, silent

ROW_SCHEMA = {
    "source": pl.String,
    "text": pl.String,
    "text_type": pl.String,
    "label": pl.String,
    "label_type": pl.String,
    "unreadable": pl.String,
    "raw": pl.String,
}


@dataclass(frozen=True)
class FileRead:
    """One file that was read.

    Attributes:
        path: relative to the project where it lies inside, else absolute.
        digest: of the file as it lies on disk.
        rows: records in it.
        encoding: Python's name of the encoding it was decoded from; empty for Parquet.
        delimiter: what separates its cells; empty for JSON and Parquet.
        blank_lines: empty lines that were passed over.
        sample: the first text that is not ASCII, to see whether the encoding is right; empty where all is ASCII.
    """

    path: str
    digest: str
    rows: int
    encoding: str
    delimiter: str
    blank_lines: int
    sample: str = ""


@dataclass(frozen=True)
class Table:
    """What was read.

    Attributes:
        fields: every column of the files as strings, null where a file or a record has none. Shape (rows, columns).
        rows: for each row `source` (`file:line`), `text`, `label`, and `text_type`, `label_type`: what a value was
            where it was not a string (`a number`, `a list`), else null; of a row that could not be read and was left
            out `unreadable`, the reason, and `raw`, what stands there. Shape (rows, 7).
        files: the files, in the order of their rows.
    """

    fields: pl.DataFrame
    rows: pl.DataFrame
    files: list[FileRead]


def read_files(
    paths: Sequence[Path],
    *,
    root: Path,
    text: str,
    label: str,
    others: Sequence[str] = (),
    skip_bad_rows: bool = False,
    progress: Progress = silent,
) -> Table:
    """Read files into one table.

    Args:
        paths: the files, as `locate` found them.
        root: what the names of files are relative to.
        text: column of the text.
        label: column of the label.
        others: further columns that must be there: slices, group.
        skip_bad_rows: a row that cannot be read is one of `rows` with the reason, not a problem.
        progress: told after each file.

    Raises:
        InputError: everything that is wrong with any file, each problem with `file:line` where there is one.
    """
    problems: list[Problem] = []
    fields: list[pl.DataFrame] = []
    rows: list[pl.DataFrame] = []
    files: list[FileRead] = []
    total = 0
    for position, path in enumerate(paths, start=1):
        parse = Parse(shown_path(path, root), (text, label, *others), (text, label), skip_bad_rows)
        before = len(rows)
        try:
            encoding = _read_one(path, parse, fields, rows)
        except InputError as error:
            problems += error.problems
            continue
        problems += parse.problems
        count = sum(part.height for part in rows[before:])
        total += count
        if total > MAX_ROWS:
            raise InputError(Problem(f"there are more than {MAX_ROWS} rows", "check a part of them", parse.name))
        sample = _sample(rows[before:]) if encoding not in ("", "utf-8", "utf-8-sig") else ""
        digest = "" if parse.problems else digest_file(path)
        files.append(FileRead(parse.name, digest, count, encoding, parse.delimiter, parse.blank_lines, sample))
        progress("read files", position, len(paths))
    raise_found(problems)
    return Table(
        pl.concat(fields, how="diagonal", rechunk=True) if fields else pl.DataFrame(),
        pl.concat([pl.DataFrame(schema=ROW_SCHEMA), *rows], how="diagonal", rechunk=True),
        files,
    )


def _read_one(path: Path, parse: Parse, fields: list[pl.DataFrame], rows: list[pl.DataFrame]) -> str:
    """Read one file into frames; returns its encoding."""
    first = len(rows)
    chunks, encoding = read_chunks(path, parse)
    columns: dict[str, None] = {}
    for chunk in chunks:
        columns |= dict.fromkeys(chunk.cells)
        fields.append(pl.DataFrame({key: pl.Series(key, cells, pl.String) for key, cells in chunk.cells.items()}))
        rows.append(_row_frame(chunk, parse))
    if len(rows) > first and not parse.problems:
        check_columns(list(columns), parse)
        _check_types(rows[first:], parse)
    if parse.skipped:
        rows.append(_unreadable_frame(parse))
        fields.append(pl.DataFrame({parse.typed[0]: [None] * len(parse.skipped)}, schema={parse.typed[0]: pl.String}))
    return encoding


def _unreadable_frame(parse: Parse) -> pl.DataFrame:
    found = {
        "source": [f"{parse.name}:{one.line}" for one in parse.skipped],
        "unreadable": [one.reason for one in parse.skipped],
        "raw": [one.raw for one in parse.skipped],
    }
    return pl.concat([pl.DataFrame(schema=ROW_SCHEMA), pl.DataFrame(found)], how="diagonal")


def read_chunks(path: Path, parse: Parse, *, rows_wanted: int | None = None) -> tuple[Iterator[Chunk], str]:
    """Records of one file of any format.

    Args:
        path: the file, its format known by its name.
        parse: gets the problems.
        rows_wanted: how many rows of Parquet are enough; text formats are read by the chunk. None reads all.

    Returns:
        The records; the encoding's Python name, empty for Parquet.

    Raises:
        InputError: the file cannot be read, decompressed or decoded.
    """
    kind = file_format(path)
    if kind == "parquet":
        return _parquet_chunks(path, parse, rows_wanted), ""
    content, encoding = decode_text(read_bytes(path, parse.name), parse.name, broken_lines_pass=parse.skip_bad_rows)
    parse.broken = parse.skip_bad_rows and BROKEN.search(content) is not None
    if kind == "jsonl":
        return parse_json_lines(content, parse), encoding
    if kind == "json":
        return parse_json(content, parse), encoding
    return parse_delimited(content, parse, first_choice="\t" if kind == "tsv" else ","), encoding


def _row_frame(chunk: Chunk, parse: Parse) -> pl.DataFrame:
    text, label = parse.typed
    count = len(chunk.lines)
    nothing: list[str | None] = [None] * count

    def column(name: str, values: list[str | None] | None) -> pl.Series:
        return pl.Series(name, nothing if values is None else values, pl.String)

    lines = pl.Series("line", chunk.lines, pl.Int64).cast(pl.String)
    return pl.DataFrame(
        {
            "source": pl.Series("source", [parse.name], pl.String).new_from_index(0, count) + ":" + lines,
            "text": column("text", chunk.cells.get(text)),
            "text_type": column("text_type", chunk.types.get(text)),
            "label": column("label", chunk.cells.get(label)),
            "label_type": column("label_type", chunk.types.get(label)),
        }
    )


def _check_types(rows: list[pl.DataFrame], parse: Parse) -> None:
    """A column in which no value at all has the right type is the wrong column, not some bad rows."""
    types = pl.concat(rows).select("text", "text_type", "label_type")
    if types.height and types["text_type"].null_count() == 0:
        kind = types["text_type"][0]
        parse.complain(f"no value of {parse.typed[0]!r} is text: the first is {kind}", "name the column that holds it")
    if types.height and types["label_type"].is_in(["a list", "an object"]).fill_null(value=False).all():
        kind = types["label_type"][0]
        parse.complain(
            f"no value of {parse.typed[1]!r} is a single label: the first is {kind}",
            "give each row one label: several per row are not read by this version",
        )


def _parquet_chunks(path: Path, parse: Parse, rows_wanted: int | None) -> Iterator[Chunk]:
    source: Path | BytesIO = path
    if path.suffix.lower() in COMPRESSED:
        source = BytesIO(read_bytes(path, parse.name))
        foreign = foreign_problem(source.getvalue(), parse.name)
    else:
        foreign = foreign_file(path, parse.name)
    if foreign and "Parquet" not in foreign.message:
        parse.problems.append(foreign)
        return
    damage = find_damage(path, source.getvalue() if isinstance(source, BytesIO) else None, rows_wanted)
    if damage:
        parse.complain(f"not a Parquet file that can be read: {damage}", "write it again, or export it as CSV")
        return
    try:
        rows = pl.scan_parquet(source, glob=False, hive_partitioning=False).select(pl.len()).collect().item()
        if rows > MAX_ROWS:
            parse.complain(f"it has {rows} rows, the limit is {MAX_ROWS}", "check a part of them")
            return
        frame = pl.read_parquet(source, n_rows=rows_wanted, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        parse.complain(f"not a Parquet file that can be read: {reason}", "write it again, or export it as CSV")
        return
    if frame.width > MAX_COLUMNS:
        parse.complain(f"it has {frame.width} columns, the limit is {MAX_COLUMNS}", "keep those you need")
        return
    check_columns(frame.columns, parse)
    if parse.problems:
        return
    kinds = {column: _parquet_type(frame.schema[column]) for column in parse.typed if column in frame.schema}
    for start in range(0, frame.height, CHUNK_ROWS):
        part = frame.slice(start, CHUNK_ROWS)
        cells = {column: _strings(part[column]) for column in part.columns}
        lines = list(range(start + 1, start + 1 + part.height))
        bad = _leave_out_nul(cells, parse, lines)
        if bad:
            lines = [line for line in lines if line not in bad]
            kept = [line - start - 1 for line in lines]
            cells = {column: [values[position] for position in kept] for column, values in cells.items()}
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


def _sample(rows: list[pl.DataFrame]) -> str:
    """The first text that is not ASCII, cut to 20 characters."""
    for frame in rows:
        found = frame.filter(pl.col("text").str.contains(r"[^\x00-\x7F]"))["text"]
        if found.len():
            return str(found[0])[:20]
    return ""
