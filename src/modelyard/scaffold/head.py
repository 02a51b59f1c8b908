"""The first rows of the data, whatever its format, read by the parsers that `check` will read it with."""

from pathlib import Path

from modelyard.data.problems import raise_found
from modelyard.data.reading.locate import file_format, kind_problem, locate
from modelyard.data.reading.table import first_chunk
from modelyard.errors import InputError, Problem
from modelyard.scaffold.guess import Head

MAX_ROWS = 2000


def read_head(path: Path) -> Head:
    """Read up to 2,000 rows; rows that cannot be read are passed over and told, as `check` will refuse them.

    Args:
        path: a file, or a folder, whose first file speaks for the others.

    Raises:
        InputError: there is no such file, it is of no kind that is read, or it holds no rows that can be read.
    """
    if path.is_dir():
        path = locate(str(path), Path())[0][0]
    if not path.is_file():
        raise InputError(Problem(f"{str(path)!r} is not a file", "name a data file", "--data"))
    if file_format(path) is None:
        raise InputError(kind_problem(path, "--data"))
    chunk, parse = first_chunk(path)
    raise_found(parse.problems)
    bad = [Problem(one.reason, "mend it", f"{path}:{one.line}") for one in parse.skipped]
    if chunk is None:
        raise_found(bad)
    if chunk is None or not chunk.cells:
        raise InputError(Problem("it holds no rows", "give it a header and rows", str(path)))
    count = min(len(chunk.lines), MAX_ROWS)
    rows = [{column: cells[row] for column, cells in chunk.cells.items()} for row in range(count)]
    return Head(list(chunk.cells), rows, bad, plain=file_format(path) == "text")
