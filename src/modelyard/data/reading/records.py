"""From text to records: one parser per format, each telling the line where every record starts."""

import contextlib
import csv
import difflib
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from modelyard.data.problems import LEAVE_OUT
from modelyard.data.reading.decode import BROKEN, broken_character
from modelyard.errors import Problem

MAX_COLUMNS = 1_000
MAX_CELL_CHARACTERS = 16 * 1024**2
"""A longer cell is taken for an unclosed quote. From 1 MiB on a text is dropped by the rule `text_too_long`."""
CHUNK_ROWS = 100_000
DELIMITERS = (",", ";", "\t", "|")
_SNIFFED_CHARACTERS = 64 * 1024
_SNIFFED_ROWS = 50
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass
class Chunk:
    """Up to 100,000 records of one file, by column.

    Attributes:
        cells: column -> value of each record as a string; None where it is absent or null.
        lines: the physical line where each record starts; its number in a JSON array or a Parquet file.
        types: column -> what each value was before it became a string, None for strings and nulls. Only for the text
            and label columns of formats that have types.
    """

    cells: dict[str, list[str | None]]
    lines: list[int]
    types: dict[str, list[str | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """A row that could not be read: the line it starts at, why, and what stands there."""

    line: int
    reason: str
    raw: str


class _BrokenError(ValueError):
    """A JSON value that cannot be read: what is wrong, what to do, and its line in a file of one value."""

    def __init__(self, message: str, next_step: str = "mend it", line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.next_step, self.line = message, next_step, line


@dataclass
class Parse:
    """One file being parsed: what it is called, which columns must be there, and what is found on the way.

    With `skip_bad_rows` a row that cannot be read is kept in `skipped` and is no problem, as long as it is clear where
    it ends. `broken` says that characters which no text holds may stand in the rows. The text parsed may be a piece of
    the file: `first_line` is where it starts. `lost` says that quotes were broken so that what follows is in doubt.
    """

    name: str
    wanted: tuple[str, ...]
    typed: tuple[str, ...]
    skip_bad_rows: bool = False
    broken: bool = False
    first_line: int = 1
    lost: bool = False
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Unreadable] = field(default_factory=list)
    delimiter: str = ""
    blank_lines: int = 0

    def complain(self, message: str, next_step: str, line: int | None = None) -> None:
        """Note a problem of this file."""
        self.problems.append(Problem(message, next_step, self.name if line is None else f"{self.name}:{line}"))

    def leave_out(self, message: str, next_step: str, line: int, raw: str) -> None:
        """Note a row that cannot be read while those around it can."""
        if self.skip_bad_rows:
            self.skipped.append(Unreadable(line, message, _writable(raw)))
        else:
            self.complain(message, f"{next_step}, or {LEAVE_OUT}", line)


def _writable(raw: str) -> str:
    r"""A text that has UTF-8, with `\xe5` for a byte that is none and `\ud800` for half of a surrogate pair."""
    try:
        return raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return raw.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class Layout:
    """What separates the cells of a CSV or TSV file, and the names of its columns."""

    delimiter: str
    header: tuple[str, ...]


def read_layout(text: str, parse: Parse, *, first_choice: str) -> Layout | None:
    """The layout of a file by its first lines, for its later pieces; None where the header cannot be used.

    What is wrong with it is told when the first piece is parsed, not here.
    """
    silent = Parse(parse.name, parse.wanted, parse.typed, broken=parse.broken)
    chunk = next(parse_delimited(text, silent, first_choice=first_choice, header_only=True), None)
    return None if chunk is None else Layout(silent.delimiter, tuple(chunk.cells))


def parse_delimited(
    text: str, parse: Parse, *, first_choice: str, layout: Layout | None = None, header_only: bool = False
) -> Iterator[Chunk]:
    """Records of a CSV or TSV text (RFC 4180 quoting).

    Args:
        text: the file or a piece of it.
        parse: gets the problems.
        first_choice: the delimiter where the first lines say nothing.
        layout: of the file, where the text is a later piece; None reads it from the text's header.
        header_only: yield one chunk with the columns and no rows.
    """
    lines = io.StringIO(text, newline="")
    before = _find_delimiter(text, lines, parse, first_choice, layout)
    with _cell_limit():
        reader = csv.reader(lines, delimiter=parse.delimiter, strict=True)
        header = None if layout is None else list(layout.header)
        rows, starts = [], []
        for line, start, row in _csv_rows(reader, lines, text, parse, before):
            if header is None:
                header = _header(row, parse, line)
                if header is None:
                    return
                if header_only:
                    yield Chunk({name: [] for name in header}, [])
                    return
            elif (len(row) != len(header) or parse.broken) and (wrong := _row_problem(row, header, parse)):
                if reader.line_num + before > line:
                    parse.complain(f"{wrong[0]}; it goes on to line {reader.line_num + before}", wrong[1], line)
                else:
                    parse.leave_out(*wrong, line, text[start : lines.tell()].rstrip("\r\n"))
            else:
                rows.append(row)
                starts.append(line)
                if len(rows) == CHUNK_ROWS:
                    yield _transposed(header, rows, starts)
                    rows, starts = [], []
        if header is None:
            parse.complain("the file is empty", "remove it, or export it again with its header")
        elif rows:
            yield _transposed(header, rows, starts)


def _find_delimiter(text: str, lines: io.StringIO, parse: Parse, first_choice: str, layout: Layout | None) -> int:
    """Set the delimiter and pass over a line that only names it; how many lines stand before what is read next."""
    declared = re.match(r"sep=([,;\t|])\r?\n", text)  # Excel writes and honours this line
    if layout is not None:
        parse.delimiter = layout.delimiter
    elif declared:
        lines.seek(declared.end())
        parse.delimiter = declared[1]
        return parse.first_line
    else:
        parse.delimiter = sniff_delimiter(text, parse.wanted, first_choice)
    return parse.first_line - 1


def sniff_delimiter(text: str, wanted: Sequence[str], first_choice: str) -> str:
    """The delimiter whose header holds most of the wanted columns; of equal ones the one that gives most even rows."""
    sample = io.StringIO(text[:_SNIFFED_CHARACTERS], newline="")
    best, best_score = first_choice, (0, 0.0)
    for delimiter in sorted(DELIMITERS, key=lambda delimiter: delimiter != first_choice):
        sample.seek(0)
        rows = []
        with contextlib.suppress(csv.Error):
            for row in csv.reader(sample, delimiter=delimiter):
                if row:
                    rows.append(row)
                if len(rows) > _SNIFFED_ROWS:
                    break
        if not rows or len(rows[0]) < 2:
            continue
        even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        score = (len(set(wanted) & set(rows[0])), even)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def parse_json_lines(data: bytes, parse: Parse) -> Iterator[Chunk]:
    """Records of JSONL in UTF-8 (surrogates allowed where the file is broken): one object per line."""
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    suspect = parse.broken or _may_be_broken(data)
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), start=parse.first_line):
        if not raw.strip():
            parse.blank_lines += 1
            continue
        try:
            record = _parsed(raw)
            if suspect and (parse.broken or _may_be_broken(raw)):
                _refuse_broken_strings(record)
            if not isinstance(record, dict):
                raise _BrokenError(f"the line holds {_type_name(record)}, not an object", "write one {...} per line")
            records.append(record)
            lines.append(number)
        except _BrokenError as error:
            text = raw.decode("utf-8", "surrogatepass")
            if text.strip():
                parse.leave_out(error.message, error.next_step, number, text)
            else:  # white space that is no ASCII
                parse.blank_lines += 1
        if len(records) == CHUNK_ROWS:
            yield _by_column(records, lines, parse)
            records, lines = [], []
    if records:
        yield _by_column(records, lines, parse)


def parse_json(text: str, parse: Parse) -> Iterator[Chunk]:
    """Records of a JSON text: an array of objects, or an object whose `data` is one."""
    try:
        content = _parsed(text)
    except _BrokenError as error:
        parse.complain(error.message, error.next_step, error.line)
        return
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    if not isinstance(content, list):
        parse.complain(
            f"the file holds {_type_name(content)}, not an array of objects",
            'write [{...}, ...] or {"data": [{...}, ...]}; one object per line is .jsonl',
        )
        return
    suspect = parse.broken or _may_be_broken(text.encode("utf-8", "surrogatepass"))
    numbered = []
    for number, record in enumerate(content, start=1):
        try:
            if not isinstance(record, dict):
                raise _BrokenError(f"entry {number} is {_type_name(record)}, not an object", "write {...}")
            if suspect:
                _refuse_broken_strings(record)
            numbered.append((number, record))
        except _BrokenError as error:
            parse.leave_out(error.message, error.next_step, number, as_string(record) or "null")
    for start in range(0, len(numbered), CHUNK_ROWS):
        part = numbered[start : start + CHUNK_ROWS]
        yield _by_column([record for _, record in part], [number for number, _ in part], parse)


def check_columns(columns: Sequence[str], parse: Parse, line: int | None = None) -> None:
    """Complain about every wanted column that is not there, with the nearest name that is."""
    for name in dict.fromkeys(parse.wanted):
        if name not in columns:
            by_fold = {column.strip().casefold(): column for column in columns}
            near = difflib.get_close_matches(name.strip().casefold(), list(by_fold), n=1)
            some = ", ".join(repr(column) for column in columns[:10]) + (", ..." if len(columns) > 10 else "")
            advice = f"did you mean {by_fold[near[0]]!r}" if near else f"columns here: {some or 'none'}"
            parse.complain(f"there is no column {name!r}", advice, line)


@contextlib.contextmanager
def _cell_limit() -> Iterator[None]:
    before = csv.field_size_limit(MAX_CELL_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _row_problem(row: list[str], header: list[str], parse: Parse) -> tuple[str, str] | None:
    """What is wrong with a row, and what to do."""
    if len(row) != len(header):
        return (
            f"the row has {len(row)} cells, the header {len(header)} (delimiter {parse.delimiter!r})",
            "put cells that hold the delimiter or a line end in double quotes, or add the missing cells",
        )
    broken = next((found for cell in row if (found := BROKEN.search(cell))), None) if parse.broken else None
    return (broken_character(broken[0]), "remove it") if broken else None


def _csv_rows(
    reader: Any,  # noqa: ANN401  (csv's reader has no public type)
    lines: io.StringIO,
    text: str,
    parse: Parse,
    before: int,
) -> Iterator[tuple[int, int, list[str]]]:
    """Each record with the line and the place in `text` it starts at; behind a broken one reading goes on.

    Quotes that are broken beyond the end of a line may have swallowed whole rows: such a record is never skipped.
    """
    while True:
        line, start = reader.line_num + 1 + before, lines.tell()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error):
                message = f"a cell that starts here is longer than {MAX_CELL_CHARACTERS} characters: an unclosed quote"
            elif "unexpected end" in str(error):
                message = "a quoted cell that starts here is never closed"
            else:
                message = f"the quotes are broken: {error}"
            next_step = 'close the quote; write a quote inside a quoted cell twice ("")'
            if reader.line_num + before > line or "unexpected end" in str(error):
                parse.complain(message, next_step, line)
                parse.lost = True
            else:
                parse.leave_out(message, next_step, line, text[start : lines.tell()].rstrip("\r\n"))
            continue
        if row:
            yield line, start, row
        else:
            parse.blank_lines += 1


def _header(row: list[str], parse: Parse, line: int) -> list[str] | None:
    names = [name.strip() or f"column_{position}" for position, name in enumerate(row, start=1)]
    found = len(parse.problems)
    if parse.broken and (broken := next(filter(None, map(BROKEN.search, row)), None)):
        parse.complain(broken_character(broken[0]), "export the file again: this is its header", line)
    for name in dict.fromkeys(name for name in names if names.count(name) > 1) if len(names) <= MAX_COLUMNS else ():
        parse.complain(f"the column {name!r} stands in the header twice", "rename one of them", line)
    if len(names) > MAX_COLUMNS:
        parse.complain(f"the header has {len(names)} columns, the limit is {MAX_COLUMNS}", "keep those you need", line)
    check_columns(names, parse, line)
    return names if len(parse.problems) == found else None


def _transposed(header: list[str], rows: list[list[str]], lines: list[int]) -> Chunk:
    return Chunk(dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)), lines)


def _parsed(raw: str | bytes) -> Any:  # noqa: ANN401
    """The JSON value of a text that is not null; else `_BrokenError`.

    orjson takes half the time of json, which is asked where orjson refuses: NaN, numbers of many digits, half
    surrogate pairs, and every error, whose words are json's.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        value = _parsed_by_json(raw if isinstance(raw, str) else raw.decode("utf-8", "surrogatepass"))
    if value is None:
        raise _BrokenError("it holds null, not an object", "write {...}")
    return value


def _parsed_by_json(raw: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise _BrokenError("it is nested too deep", "flatten it") from error
    except json.JSONDecodeError as error:
        said = f"{error.msg.removesuffix(' at')} at column {error.colno}"
        raise _BrokenError(f"not JSON: {said}", line=error.lineno) from error
    except ValueError as error:
        raise _BrokenError(f"not JSON: {error}") from error


def _may_be_broken(raw: bytes) -> bool:
    """Whether JSON escapes a NUL or half of a surrogate pair: a pair's halves are escaped one by one."""
    return b"\\u" in raw and any(escape in raw for escape in (b"\\u0000", b"\\ud", b"\\uD"))


def _refuse_broken_strings(value: Any) -> None:  # noqa: ANN401
    """Half surrogate pairs, bytes that are no UTF-8 and NUL characters, wherever in a record they stand."""
    try:
        written = json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        raise _BrokenError("it is nested too deep", "flatten it") from error
    if _NUL_ESCAPE.search(written):
        raise _BrokenError("a string holds \\u0000, a NUL character, which no text does", "remove it")
    if byte := re.search("[\udc80-\udcff]", written):
        raise _BrokenError(broken_character(byte[0]), "write it in UTF-8")
    if BROKEN.search(written):
        raise _BrokenError("a string holds half of a surrogate pair (\\ud800 to \\udfff)", "write it in UTF-8")


def _by_column(records: list[dict[str, Any]], lines: list[int], parse: Parse) -> Chunk:
    columns = list(dict.fromkeys(key for record in records for key in record))
    if len(columns) > MAX_COLUMNS:
        parse.complain(f"the objects have {len(columns)} different keys, the limit is {MAX_COLUMNS}", "keep the needed")
        columns = [column for column in columns if column in parse.wanted]
    cells = {column: [as_string(record.get(column)) for record in records] for column in columns}
    types = {
        column: [None if isinstance(value := record.get(column), str) else _typed(value) for record in records]
        for column in parse.typed
    }
    return Chunk(cells, lines, types)


def as_string(value: Any) -> str | None:  # noqa: ANN401
    """A value of a typed format as a string: JSON for anything but strings and null; NaN is missing as null is."""
    if value is None or isinstance(value, str):
        return value
    if _is_missing(value):
        return None
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:  # what was just deep enough to be read
        return "(nested too deep)"


def _is_missing(value: Any) -> bool:  # noqa: ANN401
    """Null, or NaN: how pandas and json.dumps write a missing value."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _typed(value: Any) -> str | None:  # noqa: ANN401
    return None if _is_missing(value) else _type_name(value)


def _type_name(value: Any) -> str:  # noqa: ANN401
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")
