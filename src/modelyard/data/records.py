"""From text to records: one parser per format, each telling the line where every record starts."""

import contextlib
import csv
import difflib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.errors import Problem

MAX_ROWS = 50_000_000
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


@dataclass
class Parse:
    """One file being parsed: what it is called, which columns must be there, and what is found on the way."""

    name: str
    wanted: tuple[str, ...]
    typed: tuple[str, str]
    problems: list[Problem] = field(default_factory=list)
    delimiter: str = ""
    blank_lines: int = 0

    def complain(self, message: str, next_step: str, line: int | None = None) -> None:
        """Note a problem of this file."""
        self.problems.append(Problem(message, next_step, self.name if line is None else f"{self.name}:{line}"))


def parse_delimited(text: str, parse: Parse, *, first_choice: str) -> Iterator[Chunk]:
    """Records of a CSV or TSV text with a header (RFC 4180 quoting), the delimiter found from its first lines."""
    lines = io.StringIO(text, newline="")
    before = 0
    declared = re.match(r"sep=([,;\t|])\r?\n", text)  # Excel writes and honours this line
    if declared:
        lines.seek(declared.end())
        before, parse.delimiter = 1, declared[1]
    else:
        parse.delimiter = sniff_delimiter(text, parse.wanted, first_choice)
    with _cell_limit():
        reader = csv.reader(lines, delimiter=parse.delimiter, strict=True)
        header: list[str] | None = None
        rows, starts = [], []
        for line, row in _csv_rows(reader, parse, before):
            if header is None:
                header = _header(row, parse, line)
                if header is None:
                    return
            elif len(row) != len(header):
                parse.complain(
                    f"the row has {len(row)} cells, the header {len(header)} (delimiter {parse.delimiter!r})",
                    "put cells that hold the delimiter or a line end in double quotes, or add the missing cells",
                    line,
                )
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


def parse_json_lines(text: str, parse: Parse) -> Iterator[Chunk]:
    """Records of a JSONL text: one object per line."""
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    for number, raw in enumerate(text.removesuffix("\n").split("\n"), start=1):
        if not raw.strip():
            parse.blank_lines += 1
            continue
        record = _loads(raw, parse, number)
        if isinstance(record, dict):
            records.append(record)
            lines.append(number)
        elif record is not None:
            parse.complain(f"the line holds {_type_name(record)}, not an object", "write one {...} per line", number)
        if len(records) == CHUNK_ROWS:
            yield _by_column(records, lines, parse)
            records, lines = [], []
    if records:
        yield _by_column(records, lines, parse)


def parse_json(text: str, parse: Parse) -> Iterator[Chunk]:
    """Records of a JSON text: an array of objects, or an object whose `data` is one."""
    content = _loads(text, parse, None)
    if content is None:
        return
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    if not isinstance(content, list):
        parse.complain(
            f"the file holds {_type_name(content)}, not an array of objects",
            'write [{...}, ...] or {"data": [{...}, ...]}; one object per line is .jsonl',
        )
        return
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            parse.complain(f"entry {number} is {_type_name(record)}, not an object", "write {...}", number)
    for start in range(0, len(content), CHUNK_ROWS):
        numbered = [(n, r) for n, r in enumerate(content[start : start + CHUNK_ROWS], start + 1) if isinstance(r, dict)]
        if numbered:
            yield _by_column([record for _, record in numbered], [number for number, _ in numbered], parse)


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


def _csv_rows(reader: Any, parse: Parse, before: int) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401  (csv's reader has no public type)
    """Each record with the line it starts at; a broken one is a problem, and reading goes on behind it."""
    while True:
        line = reader.line_num + 1 + before
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
            parse.complain(message, 'close the quote; write a quote inside a quoted cell twice ("")', line)
            continue
        if row:
            yield line, row
        else:
            parse.blank_lines += 1


def _header(row: list[str], parse: Parse, line: int) -> list[str] | None:
    names = [name.strip() or f"column_{position}" for position, name in enumerate(row, start=1)]
    found = len(parse.problems)
    for name in dict.fromkeys(name for name in names if names.count(name) > 1) if len(names) <= MAX_COLUMNS else ():
        parse.complain(f"the column {name!r} stands in the header twice", "rename one of them", line)
    if len(names) > MAX_COLUMNS:
        parse.complain(f"the header has {len(names)} columns, the limit is {MAX_COLUMNS}", "keep those you need", line)
    check_columns(names, parse, line)
    return names if len(parse.problems) == found else None


def _transposed(header: list[str], rows: list[list[str]], lines: list[int]) -> Chunk:
    return Chunk(dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)), lines)


def _loads(raw: str, parse: Parse, line: int | None) -> Any:  # noqa: ANN401
    """A JSON value, or None with a problem noted."""
    try:
        value = json.loads(raw)
        if _NUL_ESCAPE.search(raw):
            parse.complain("a string holds \\u0000, a NUL character, which no text does", "remove it", line)
            return None
        if "\\ud" in raw.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        parse.complain("a string holds half of a surrogate pair (\\ud800 to \\udfff)", "write it in UTF-8", line)
    except RecursionError:
        parse.complain("it is nested too deep", "flatten it", line)
    except json.JSONDecodeError as error:
        where = error.lineno if line is None else line
        parse.complain(f"not JSON: {error.msg} at column {error.colno}", "mend it", where)
    except ValueError as error:
        parse.complain(f"not JSON: {error}", "mend it", line)
    else:
        if value is None:
            parse.complain("it holds null, not an object", "write {...}", line)
        return value
    return None


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
    """A value of a typed format as a string: JSON for anything but strings and null."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _typed(value: Any) -> str | None:  # noqa: ANN401
    return None if value is None else _type_name(value)


def _type_name(value: Any) -> str:  # noqa: ANN401
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")
