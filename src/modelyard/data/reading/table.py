"""Reading files into one table in memory, for sets that are known to be small or are wanted only in part."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelyard.data.features import Plan
from modelyard.data.mapping import Part, field_name, file_problems, part_frames
from modelyard.data.problems import raise_found
from modelyard.data.reading.locate import file_format
from modelyard.data.reading.passages import COLUMN
from modelyard.data.reading.read import FileFound, find_layout, parse_piece
from modelyard.data.reading.records import Chunk, Parse
from modelyard.data.reading.shapes import Shape
from modelyard.data.reading.survey import Surveyed, survey
from modelyard.errors import InputError, Problem
from modelyard.progress import Progress, silent


@dataclass(frozen=True)
class Table:
    """What was read.

    Attributes:
        fields: every column of the files as strings, null where a file or a record has none. Shape (rows, columns).
        rows: what `features` takes, and `source` (`file:line`).
        files: the files, in the order of their rows.
        found: what each file gave beside its rows.
    """

    fields: pl.DataFrame
    rows: pl.DataFrame
    files: list[Surveyed]
    found: list[FileFound]


def read_table(
    paths: Sequence[Path],
    *,
    root: Path,
    shape: Shape,
    others: Sequence[str] = (),
    skip_bad_rows: bool = False,
    rows_wanted: int | None = None,
    progress: Progress = silent,
) -> Table:
    """Read files one after the other.

    Args:
        paths: as `locate` found them.
        root: what the names of files are relative to.
        shape: what a row is made of.
        others: further columns that must be there.
        skip_bad_rows: a row that cannot be read is one of `rows` with the reason, not a problem.
        rows_wanted: stop once so many are read; None reads all.
        progress: told before each file.

    Raises:
        InputError: everything that is wrong with any file that was read, with `file:line` where there is one.
    """
    plan = Plan(shape=shape, slices={name: name for name in others}, rules=(), skip_bad_rows=skip_bad_rows)
    fields, rows, files, found = [pl.DataFrame()], [pl.DataFrame()], [], []
    problems: list[Problem] = []
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        for position, path in enumerate(paths):
            progress("read files", position, len(paths))
            if rows_wanted is not None and count >= rows_wanted:
                break
            try:
                file = survey(path, root, Path(scratch), skip_bad_rows=skip_bad_rows, alone=len(paths) == 1)
            except InputError as error:
                problems += error.problems
                continue
            pieces = _read_file(file, plan, fields, rows, None if rows_wanted is None else rows_wanted - count)
            problems += file_problems(pieces, file.path, plan)
            files.append(file)
            found += pieces[:1]
            count += sum(piece.rows for piece in pieces)
    raise_found(problems)
    return Table(pl.concat(fields, how="diagonal"), pl.concat(rows, how="diagonal"), files, found)


def _read_file(
    file: Surveyed, plan: Plan, fields: list[pl.DataFrame], rows: list[pl.DataFrame], wanted: int | None
) -> list[FileFound]:
    layout = find_layout(file, Parse(file.path, plan.shape.wanted, ())) if file.kind in ("csv", "tsv") else None
    pieces: list[FileFound] = []
    for place, cut in enumerate(file.cuts):
        found = FileFound()
        part = Part(file=0, surveyed=file, cut=cut, split="train", layout=layout if place else None)
        for wide, frame in part_frames(part, plan, found):
            fields.append(wide.rename(field_name))
            source = pl.lit(f"{file.path}:") + pl.col("line").cast(pl.String)
            rows.append(frame.with_columns(source=source))
        pieces.append(found)
        if wanted is not None and sum(piece.rows for piece in pieces) >= wanted:
            break
    return pieces


def first_columns(path: Path) -> list[str]:
    """The columns of a file of a kind that is read; none where its first rows cannot be, which `check` will tell."""
    chunk = first_rows(path)
    return [] if chunk is None else list(chunk.cells)


def first_rows(path: Path) -> Chunk | None:
    """The first rows of a file; None where they cannot be read, which `check` will tell, but of a text its column."""
    try:
        chunk = first_chunk(path)[0]
    except InputError:
        chunk = None
    return Chunk({COLUMN: []}, []) if chunk is None and file_format(path) == "text" else chunk


def first_chunk(path: Path) -> tuple[Chunk | None, Parse]:
    """The first records of a file, None where there is none; rows that cannot be read are passed over and kept."""
    parse = Parse(str(path), (), ("", ""), skip_bad_rows=True)
    with tempfile.TemporaryDirectory() as scratch:
        file = survey(path, path.parent, Path(scratch), skip_bad_rows=True, head=True)
        return next(parse_piece(file, file.cuts[0], parse), None), parse
