"""The map step: bundles of pieces, each parsed and judged apart, by as many processes as there are cores.

A bundle is some MiB of one file or many small files. For each, two Parquet files are written into the scratch folder:
`wide-N.parquet` (every field as it stood, the derived columns, what could not be read) and `narrow-N.parquet` (what
`features` gives). `piece` and `place` tell a row in both; its running number follows once every bundle is counted.

Run as a module this is a worker: a plain process that reads bundles as lines of JSON and answers in lines of JSON
(`workers` starts it). Nothing is pickled, and a worker whose parent died sees its input end.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel

from modelyard.artifacts.prepared import NO_VALUE, write_frame
from modelyard.artifacts.reports import own_peak_bytes
from modelyard.data.contamination.index import Grams, load_grams
from modelyard.data.features import Plan, features
from modelyard.data.reading.read import FileFound, parse_piece
from modelyard.data.reading.records import Chunk, Layout, Parse, check_columns
from modelyard.data.reading.shapes import row_frame
from modelyard.data.reading.survey import PARQUET_GROWTH, PIECE_BYTES, Cut, Surveyed
from modelyard.errors import InputError, Problem

BUNDLE_PARTS = 256
"""Files of a bundle: each costs about 20 KB and 2 ms however small it is."""
GRAMS = "grams.npz"
PLAN = "plan.json"


def wide_name(column: str) -> str:
    """A field's column in the wide files. DuckDB takes `Text` and `text` for one name, and a file may have both."""
    return "f_" + column.encode("utf-8", "surrogatepass").hex()


def field_name(wide: str) -> str:
    """The field of a column of the wide files."""
    return bytes.fromhex(wide.removeprefix("f_")).decode("utf-8", "surrogatepass")


def slice_name(stored: str) -> str:
    """A slice's column in the narrow files."""
    return "slice_" + stored.encode("utf-8", "surrogatepass").hex()


class Part(BaseModel):
    """One piece of one file: which file of the check, its place in it, and the split that it was named for."""

    file: int
    surveyed: Surveyed
    cut: Cut
    split: str
    layout: Layout | None = None


class Bundle(BaseModel):
    """What is mapped at once."""

    number: int
    parts: list[Part]
    size_bytes: int


class Mapped(BaseModel):
    """What a bundle gave: rows, for each of its parts what was found; the worker, and what memory that has taken."""

    number: int
    rows: int
    found: list[tuple[int, FileFound]]
    process: int = 0
    peak_bytes: int = 0


ROW_SCHEMA = dict.fromkeys(
    ("text", "text_type", "label", "label_type", "shape_problem", "group", "unreadable"), pl.String
)


@dataclass(frozen=True)
class Task:
    """What every bundle of a check needs; with the n-grams of benchmark questions where they are looked for."""

    plan: Plan
    scratch: Path
    grams: Grams | None = None


def bundles(parts: Sequence[Part]) -> list[Bundle]:
    """Parts joined in their order to bundles of about `PIECE_BYTES`, and of at most `BUNDLE_PARTS`."""
    made: list[Bundle] = []
    waiting: list[Part] = []
    size = 0
    for part in parts:
        length = _plain_bytes(part)
        if waiting and (size + length > PIECE_BYTES or len(waiting) == BUNDLE_PARTS):
            made.append(Bundle(number=len(made), parts=waiting, size_bytes=size))
            waiting, size = [], 0
        waiting.append(part)
        size += length
    if waiting:
        made.append(Bundle(number=len(made), parts=waiting, size_bytes=size))
    return made


def _plain_bytes(part: Part) -> int:
    """The size of a piece as text; of Parquet, whose pieces are ranges of rows, about that."""
    length = part.cut.end - part.cut.start
    if part.surveyed.kind != "parquet":
        return length
    rows = max(1, part.surveyed.cuts[-1].end)
    return PARQUET_GROWTH * part.surveyed.size_bytes * length // rows


def map_bundle(bundle: Bundle, task: Task) -> Mapped:
    """Parse and judge one bundle and write its two files."""
    wide: list[pl.DataFrame] = []
    rows: list[pl.DataFrame] = []
    found: list[tuple[int, FileFound]] = []
    for part in bundle.parts:
        one = FileFound()
        for fields, frame in part_frames(part, task.plan, one):
            wide.append(fields)
            rows.append(frame.with_columns(file=pl.lit(part.file, pl.Int32), part=pl.lit(part.split)))
        found.append((part.file, one))
    count = sum(frame.height for frame in rows)
    if count:
        place = pl.Series("row", range(count), dtype=pl.Int64)
        joined = pl.concat([pl.DataFrame(schema=_row_schema(task.plan)), *rows], how="diagonal").with_columns(place)
        narrow = features(joined.drop("file", "line", "part"), task.plan, task.grams)
        narrow = pl.concat([narrow, joined.select("file", "line", "part")], how="horizontal")
        written = {"narrow": narrow.rename({"row": "place"})}
        if task.plan.keep_fields:
            written["wide"] = pl.concat(wide, how="diagonal").with_columns(place.alias("place"))
        for name, frame in written.items():
            piece = frame.with_columns(piece=pl.lit(bundle.number, pl.Int32))
            write_frame(piece, task.scratch / f"{name}-{bundle.number:07d}.parquet", brief=True)
    return Mapped(number=bundle.number, rows=count, found=found)


def _row_schema(plan: Plan) -> dict[str, type[pl.String]]:
    """The columns that there are even where not one row of a bundle can be read."""
    return ROW_SCHEMA | {f"user_{place}": pl.String for place in range(len(plan.user_columns))}


def part_frames(part: Part, plan: Plan, found: FileFound) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Every field of the rows as strings, and the rows as `features` wants them; what is found goes into `found`."""
    shape = plan.shape
    typed = tuple(shape.columns.values())
    parse = Parse(part.surveyed.path, (*shape.wanted, *plan.others), typed, plan.skip_bad_rows)
    columns: dict[str, None] = {}
    for chunk in parse_piece(part.surveyed, part.cut, parse, part.layout):
        columns |= dict.fromkeys(chunk.cells)
        rows, derived = row_frame(chunk, shape)
        _note_types(chunk, typed, found)
        made = {shape.columns["text"]: rows["text"]} if "text" in shape.columns else {}
        fields = pl.DataFrame(
            {
                name: made[name] if name in made else pl.Series(cells, dtype=pl.String)
                for name, cells in chunk.cells.items()
            }
        )
        wide = fields.rename(wide_name).with_columns(**{wide_name(name): cells for name, cells in derived.items()})
        yield wide, _with_others(rows, fields, chunk.lines, plan)
        found.rows += rows.height
        if not found.sample and part.surveyed.encoding not in ("", "utf-8", "utf-8-sig"):
            strange = rows.filter(pl.col("text").str.contains(r"[^\x00-\x7F]"))["text"]
            found.sample = str(strange[0])[:20] if strange.len() else ""
    if parse.skipped:
        unread = _unreadable(parse)
        yield unread.select(pl.col("raw").alias(wide_name(RAW))), unread.select("line", "unreadable")
        found.rows += unread.height
    found.columns, found.problems, found.lost = list(columns), parse.problems, parse.lost
    found.blank_lines, found.delimiter = parse.blank_lines, parse.delimiter


RAW = "\x01raw"
"""Derived column: what stands in the file for a row that could not be read."""


def _with_others(rows: pl.DataFrame, fields: pl.DataFrame, lines: list[int], plan: Plan) -> pl.DataFrame:
    nothing = pl.Series([None] * rows.height, dtype=pl.String)
    group = fields[plan.group].replace("", None) if plan.group in fields.columns else nothing
    slices = {
        slice_name(stored): fields[name].fill_null("").replace("", NO_VALUE)
        for name, stored in plan.slices.items()
        if name in fields.columns
    }
    of_rules = {
        f"user_{place}": fields[name] if name in fields.columns else nothing
        for place, name in enumerate(plan.user_columns)
    }
    return rows.with_columns(
        group.alias("group"),
        pl.Series("line", lines, pl.Int64),
        pl.lit(None, pl.String).alias("unreadable"),
        **slices,
        **of_rules,
    )


def _unreadable(parse: Parse) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "line": pl.Series([one.line for one in parse.skipped], dtype=pl.Int64),
            "unreadable": pl.Series([one.reason for one in parse.skipped], dtype=pl.String),
            "raw": pl.Series([one.raw for one in parse.skipped], dtype=pl.String),
        }
    )


def _note_types(chunk: Chunk, typed: Sequence[str], found: FileFound) -> None:
    """Count the values of the typed columns that are strings or missing, and keep the kind of the first other one."""
    for column in typed:
        kinds = chunk.types.get(column)
        others = [] if kinds is None else [kind for kind in kinds if kind is not None]
        strings, first = found.strings.get(column, (0, ""))
        found.strings[column] = (strings + len(chunk.lines) - len(others), first or (others[0] if others else ""))


def file_problems(parts: Sequence[FileFound], name: str, plan: Plan) -> list[Problem]:
    """What is wrong with a file, from its parts in order: nothing after quotes were lost is to be believed."""
    problems: list[Problem] = []
    for part in parts:
        problems += part.problems
        if part.lost:
            return problems
    if problems or not any(part.rows for part in parts):
        return problems
    parse = Parse(name, (*plan.shape.wanted, *plan.user_columns), ())
    columns = list(dict.fromkeys(column for part in parts for column in part.columns))
    if columns:
        check_columns(columns, parse)
    return parse.problems + _wrong_columns(parts, name, plan)


def _wrong_columns(parts: Sequence[FileFound], name: str, plan: Plan) -> list[Problem]:
    """A column in which no value at all has the right type is the wrong column, not some bad rows."""
    problems = []
    for role, column in plan.shape.columns.items():
        strings = sum(part.strings.get(column, (0, ""))[0] for part in parts)
        kind = next((kind for part in parts if (kind := part.strings.get(column, (0, ""))[1])), "")
        if strings or not kind or role == "messages" or (role == "label" and plan.shape.several):
            continue
        if role == "label" and kind in ("a list", "an object"):
            message = f"no value of {column!r} is a single label: the first is {kind}"
            problems.append(Problem(message, "give each row one label, or set task: multi_label_classification", name))
        elif role != "label":
            message = f"no value of {column!r} is text: the first is {kind}"
            problems.append(Problem(message, "name the column that holds it", name))
    return problems


class Refused(BaseModel):
    """Problems of a worker that could not go on."""

    refused: list[Problem]


def work(scratch: Path) -> None:
    """The worker: bundles from standard input, one a line; what each gave to standard output."""
    grams = scratch / GRAMS
    plan = Plan.model_validate_json((scratch / PLAN).read_text(encoding="utf-8"))
    task = Task(plan, scratch, load_grams(grams) if grams.is_file() else None)
    for line in sys.stdin:
        try:
            mapped = map_bundle(Bundle.model_validate_json(line), task)
            took = {"process": os.getpid(), "peak_bytes": own_peak_bytes()}
            answer = mapped.model_copy(update=took).model_dump_json()
        except InputError as error:
            answer = Refused(refused=list(error.problems)).model_dump_json()
        except OSError as error:  # the disk of the scratch folder is full, a file is gone since it was looked through
            place = str(error.filename or scratch)
            problem = Problem(f"{place} cannot be used: {error.strerror or error}", "mend that and run it again", place)
            answer = Refused(refused=[problem]).model_dump_json()
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
