"""Where rows meet: copies, conflicts, leaks and benchmarks, in DuckDB over narrow files, out of core.

The rows are views over the Parquet files that `mapping` wrote. Only row numbers and what a rule says of them become
tables, which DuckDB keeps in a file and within the limit on memory.
"""

import errno
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from modelyard.data.contamination.find import contaminated
from modelyard.data.contamination.index import Index
from modelyard.data.duplicates.near import near_duplicates
from modelyard.data.features import NARROW_SCHEMA
from modelyard.data.mapping import slice_name
from modelyard.data.texts import ReadTexts

RANKS = {"train": 0, "validation": 1, "test": 2}
"""Of the files of each split: a row that stands in two gives way to the higher."""
LABEL_LIST = """from_json({}, '["VARCHAR"]')"""
"""Of a row of several labels, whose column `label` holds them as JSON."""
EACH_LABEL = f"unnest({LABEL_LIST.format('label')})"
_FAR = 2**40
"""More than there are rows: what a rank of splits is worth in the order in which near copies are kept."""
_KEY = "key_high, key_low"
Connection = duckdb.DuckDBPyConnection


@contextmanager
def open_meeting(scratch: Path, *, memory_bytes: int, threads: int) -> Iterator[Connection]:
    """A database in the scratch folder that keeps to a limit on its memory and loads nothing from anywhere.

    Raises:
        OSError: the disk is full.
    """
    settings = {
        "memory_limit": f"{memory_bytes // 1024**2}MiB",
        "threads": threads,
        "temp_directory": str(scratch / "spill"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
    }
    connection = duckdb.connect(str(scratch / "meeting.duckdb"), config=settings)  # type: ignore[arg-type]
    try:
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except duckdb.IOException as error:
        raise _as_system_error(error, scratch) from error
    finally:
        connection.close()


def load_rows(
    connection: Connection, scratch: Path, counts: Sequence[int], files: Sequence[str], slices: Sequence[str] = ()
) -> None:
    """Make the views `rows` and `wide` and the tables `files` and `dropped`, which holds what single rows told.

    `dropped` has `row`, `rule`, `evidence` and `twin`: the row with the same text or nearly so, where that is why.

    Args:
        connection: the meeting.
        scratch: where the mapped files lie.
        counts: rows of each bundle, in order.
        files: the path of each file, as reports name it.
        slices: names of the slice columns, which no file may have had a row of.
    """
    first, offsets = 0, []
    for piece, count in enumerate(counts):
        offsets.append((piece, first))
        first += count
    frames = {
        "offsets": pl.DataFrame(offsets, schema={"piece": pl.Int32, "first": pl.Int64}, orient="row"),
        "files": pl.DataFrame({"file": pl.Series(range(len(files)), dtype=pl.Int32), "path": list(files)}),
        "ranks": pl.DataFrame({"part": list(RANKS), "rank": list(RANKS.values())}),
    }
    for name, frame in frames.items():
        add_table(connection, scratch, name, frame)
    empty = {"place": pl.Int64, "piece": pl.Int32}
    origin = {"file": pl.Int32, "line": pl.Int64, "part": pl.String}
    narrow = pl.DataFrame(
        schema={
            **empty,
            **NARROW_SCHEMA,
            **origin,
            **{slice_name(name): pl.String for name in slices},
        }
    )
    narrow.drop("row").write_parquet(scratch / "narrow-none.parquet")
    pl.DataFrame(schema=empty).write_parquet(scratch / "wide-none.parquet")
    for name in ("narrow", "wide"):
        pattern = quoted(str(scratch / f"{name}-*.parquet"))
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({pattern}, union_by_name = true)")
    connection.execute(
        "CREATE VIEW rows AS SELECT first + place + 1 AS row, path || ':' || line AS source, rank, narrow.*"
        " FROM narrow JOIN offsets USING (piece) JOIN files USING (file) JOIN ranks USING (part)"
    )
    connection.execute(
        "CREATE TABLE dropped AS SELECT row, rule, evidence, NULL::BIGINT AS twin FROM rows WHERE rule IS NOT NULL"
    )
    connection.execute(
        "CREATE VIEW alive AS SELECT * FROM rows WHERE rule IS NULL AND row NOT IN (SELECT row FROM dropped)"
    )


def add_table(connection: Connection, scratch: Path, name: str, frame: pl.DataFrame) -> None:
    """Make a table of a frame."""
    path = scratch / f"{name}.table.parquet"
    frame.write_parquet(path)
    connection.execute(f"CREATE OR REPLACE TABLE {named(name)} AS SELECT * FROM read_parquet({quoted(str(path))})")
    path.unlink()


def drop_conflicts(connection: Connection) -> None:
    """All rows of every normalised text that stands with different labels: nobody knows which of them is right."""
    connection.execute(f"""
        CREATE TEMP TABLE clash AS
        WITH firsts AS (
            SELECT {_KEY}, min(row) AS row, arg_min(label, row) AS label FROM alive
            GROUP BY {_KEY} HAVING min(label) <> max(label)),
        others AS (
            SELECT {_KEY}, min(alive.row) AS row, arg_min(alive.label, alive.row) AS label
            FROM alive JOIN firsts USING ({_KEY}) WHERE alive.label <> firsts.label GROUP BY {_KEY})
        SELECT {_KEY}, firsts.row AS first_row, firsts.label AS first_label, others.row AS other_row,
            others.label AS other_label FROM firsts JOIN others USING ({_KEY})""")
    connection.execute(f"""
        INSERT INTO dropped
        WITH found AS (
            SELECT alive.row, if(alive.label = first_label, other_row, first_row) AS twin,
                if(alive.label = first_label, other_label, first_label) AS label
            FROM alive JOIN clash USING ({_KEY}))
        SELECT found.row, 'label_conflict', 'same text as ' || rows.source || ', labelled ' || found.label, twin
        FROM found JOIN rows ON rows.row = found.twin""")


def drop_duplicates(connection: Connection) -> None:
    """All but the first row of every normalised text among the files of one split."""
    connection.execute(f"""
        INSERT INTO dropped
        WITH firsts AS (
            SELECT rank, {_KEY}, min(row) AS first FROM alive GROUP BY rank, {_KEY} HAVING count(*) > 1),
        copies AS (SELECT alive.row, first FROM alive JOIN firsts USING (rank, {_KEY}) WHERE alive.row <> first)
        SELECT copies.row, 'duplicate_exact', 'same text as ' || rows.source, first
        FROM copies JOIN rows ON rows.row = copies.first""")


def drop_leaks(connection: Connection) -> None:
    """Rows whose text or group also stands in the files of a split that is judged later.

    Test keeps its rows, because that is where a release is judged and a user's own test set should stay the one they
    know; validation gives way to test, and train to both.
    """
    (splits,) = connection.execute("SELECT count(DISTINCT rank) FROM rows").fetchone() or (0,)
    if splits < 2:
        return
    for key, what, same in ((_KEY, "text", "twin"), ('"group"', "group", "NULL")):
        connection.execute(f"""
            INSERT INTO dropped
            WITH lasts AS (
                SELECT {key}, max(rank) AS last FROM alive WHERE ({key}) IS NOT NULL
                GROUP BY {key} HAVING min(rank) <> max(rank)),
            firsts AS (
                SELECT {key}, last, min(row) AS twin FROM alive JOIN lasts USING ({key}) WHERE rank = last
                GROUP BY {key}, last),
            leaks AS (SELECT alive.row, twin FROM alive JOIN firsts USING ({key}) WHERE rank < last)
            SELECT leaks.row, 'leak_across_splits', 'same {what} as ' || rows.source, {same}
            FROM leaks JOIN rows ON rows.row = leaks.twin""")


def drop_near(connection: Connection, scratch: Path, rules: Collection[str], read_texts: ReadTexts) -> None:
    """Near copies of a row with the same label: of one split's files the first stays, of several the last split's.

    A row in train gives way to one in test (`leak_near`) before the copies within train are looked at, because rows of
    the later splits are numbered first.
    """
    connection.execute(f"""
        CREATE TEMP TABLE near_rows AS
        SELECT (2 - rank) * {_FAR} + row AS row,
            list_transform(bands, lambda key: xor(key, hash(coalesce(label, '')))) AS bands, size_bytes
        FROM alive WHERE bands IS NOT NULL""")

    def read(rows: Sequence[int]) -> pl.DataFrame:
        wanted = np.asarray(rows, dtype=np.int64)
        return read_texts((wanted % _FAR).tolist()).with_columns(row=wanted)

    found = near_duplicates(connection, rows="near_rows", read_texts=read)
    add_table(connection, scratch, "near_copies", found)
    for rule, same in (("duplicate_near", "="), ("leak_near", "<>")):
        if rule in rules:
            connection.execute(f"""
                INSERT INTO dropped
                SELECT near_copies.row % {_FAR}, '{rule}',
                    printf('%.0f%%', floor(100 * jaccard)) || ' of the shingles in common with ' || source,
                    kept % {_FAR}
                FROM near_copies JOIN rows ON rows.row = kept % {_FAR}
                WHERE near_copies.row // {_FAR} {same} kept // {_FAR}""")
    connection.execute("DROP TABLE near_rows; DROP TABLE near_copies")


def drop_contaminated(connection: Connection, index: Index, rows_total: int, read_texts: ReadTexts) -> None:
    """Rows that hold a benchmark question or an edited copy of one; the passage that shows it is the evidence."""
    connection.execute("""
        CREATE TEMP VIEW question_hits AS
        SELECT row, hit.gram AS gram, hit.position AS position
        FROM (SELECT row, unnest(hits) AS hit FROM rows WHERE hits IS NOT NULL)""")
    found = contaminated(
        connection, hits="question_hits", rows_total=rows_total, index=index, read_texts=read_texts
    ).unique("row", keep="first", maintain_order=True)
    origin = index.questions.select("question", "source")
    said = found.join(origin, on="question", how="left", maintain_order="left").with_columns(
        evidence=pl.format(
            "{}% of {} ({}){}: {}",
            (100 * pl.col("score")).floor().cast(pl.Int64),
            pl.col("source"),
            pl.col("question_span"),
            pl.when(pl.col("answer").fill_null(value=False)).then(pl.lit(", with its answer")).otherwise(pl.lit("")),
            pl.col("span"),
        )
    )
    rows = {"row": said["row"].to_numpy(), "evidence": said["evidence"].to_numpy()}
    connection.register("contaminated_rows", rows)
    connection.execute("""
        INSERT INTO dropped SELECT row, 'contamination', evidence, NULL
        FROM contaminated_rows JOIN (SELECT row FROM alive) USING (row)""")
    connection.unregister("contaminated_rows")


def load_flags(connection: Connection) -> None:
    """Make the table `flagged` of what rules that drop nothing found in the rows left: row, rule, kind, evidence."""
    connection.execute("""
        CREATE TABLE flagged AS
        SELECT row, flag.rule AS rule, flag.kind AS kind, flag.evidence AS evidence
        FROM (SELECT row, unnest(flags) AS flag FROM alive WHERE flags IS NOT NULL)""")


def flag_labels(connection: Connection, found: pl.DataFrame) -> None:
    """Add rows whose label is likely wrong (`mislabelled.Mislabelled.rows`) to `flagged`."""
    said = pl.format(
        "labelled {}, more likely {}: wrong with at least {}%",
        "given",
        "suggested",
        (100 * pl.col("confidence")).floor().cast(pl.Int64),
    )
    rows = found.select("row", said.alias("evidence"))
    connection.register("suspects", {"row": rows["row"].to_numpy(), "evidence": rows["evidence"].to_numpy()})
    connection.execute("INSERT INTO flagged SELECT row, 'label_suspect', NULL, evidence FROM suspects")
    connection.unregister("suspects")


def quoted(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _as_system_error(error: duckdb.IOException, scratch: Path) -> OSError:
    """DuckDB tells the system's error in words only."""
    said = str(error)
    number = next((code for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if os.strerror(code) in said), errno.EIO)
    path = re.search(r'"([^"]+)"', said)
    return OSError(number, os.strerror(number), path[1] if path else str(scratch))
