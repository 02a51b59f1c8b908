"""The Parquet files of `prepared/`, written by DuckDB in the order of each split, out of core."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from modelyard.artifacts.prepared import NO_VALUE
from modelyard.data.mapping import slice_name, wide_name
from modelyard.data.meeting import LABEL_LIST, Connection, named, quoted
from modelyard.data.reading.shapes import MESSAGES, Shape

ROW_GROUP_ROWS = 122_880


def write_split(connection: Connection, split: str, target: Path, shape: Shape, slices: Sequence[str]) -> None:
    """Write a split in its order: `id`, `source`, the shape's columns, `label` or `labels`, slices, `group`.

    A conversation becomes a list of turns with `role`, `content` and `tool_calls` (JSON, null where there is none).
    """
    texts = ", ".join(f"{_stored(column)} AS {named(name)}" for name, column in shape.stored.items())
    stored = ", ".join(f"coalesce(rows.{slice_name(name)}, {quoted(NO_VALUE)}) AS {named(name)}" for name in slices)
    label = "rows.label" if shape.labelled else ""
    if shape.several:
        label = f"{LABEL_LIST.format('rows.label')} AS labels"
    chosen = ", ".join(part for part in ("rows.id", "rows.source", texts, label, stored, 'rows."group"') if part)
    _copy(
        connection,
        f"SELECT {chosen} FROM placed JOIN rows USING (row) JOIN wide USING (piece, place)"
        f" WHERE placed.split = {quoted(split)} ORDER BY placed.hash, row",
        target,
    )


def _stored(column: str) -> str:
    """A column of the wide rows as `prepared/` holds it."""
    wide = f"wide.{wide_name(column)}"
    turn = '[{"role": "VARCHAR", "content": "VARCHAR", "tool_calls": "VARCHAR"}]'
    return f"from_json({wide}, {quoted(turn)})" if column == MESSAGES else wide


def write_dropped(connection: Connection, target: Path, fields: Mapping[str, str], raw: str) -> None:
    """Write every dropped row with all its fields, then `DROPPED_COLUMNS`; `twin` is a source."""
    kept = "".join(f"wide.{wide_name(column)} AS {named(name)}, " for column, name in fields.items())
    known = {name for name, *_ in connection.execute("DESCRIBE wide").fetchall()}
    unread = f"wide.{wide_name(raw)}" if wide_name(raw) in known else "NULL::VARCHAR"
    _copy(
        connection,
        f"SELECT {kept}rows.source, rows.row, dropped.rule, dropped.evidence, twins.source AS twin,"
        f" {unread} AS raw FROM dropped JOIN rows USING (row) JOIN wide USING (piece, place)"
        " LEFT JOIN (SELECT row, source FROM rows) AS twins ON twins.row = dropped.twin ORDER BY rows.row",
        target,
    )


def write_flagged(connection: Connection, target: Path) -> None:
    """Write what rules that drop nothing found: `id`, `source`, `row`, `rule`, `kind`, `evidence`, row by row."""
    _copy(
        connection,
        "SELECT rows.id, rows.source, rows.row, flagged.rule, flagged.kind, flagged.evidence"
        " FROM flagged JOIN rows USING (row) ORDER BY rows.row, flagged.rule, flagged.evidence",
        target,
    )


def _copy(connection: Connection, query: str, target: Path) -> None:
    options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
    connection.execute(f"COPY ({query}) TO {quoted(str(target))} ({options})")
