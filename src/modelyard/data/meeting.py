"""Where rows meet: copies, conflicts, leaks, splits and the written files, in DuckDB over narrow files, out of core.

The rows are views over the Parquet files that `mapping` wrote. Only row numbers and what a rule says of them become
tables, which DuckDB keeps in a file and within the limit on memory.
"""

import errno
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from modelyard.artifacts.prepared import NO_VALUE, SPLITS
from modelyard.data.baseline import SCRIPTS
from modelyard.data.contamination.find import contaminated
from modelyard.data.contamination.index import Index
from modelyard.data.duplicates.near import near_duplicates
from modelyard.data.features import NARROW_SCHEMA
from modelyard.data.mapping import slice_name, wide_name
from modelyard.data.reading.shapes import MESSAGES, Shape
from modelyard.data.split import GREEDY_GROUPS, SplitCount, quotas, split_groups
from modelyard.data.texts import ReadTexts
from modelyard.data.verdicts import Dropped
from modelyard.errors import InputError, Problem

RANKS = {"train": 0, "validation": 1, "test": 2}
"""Of the files of each split: a row that stands in two gives way to the higher."""
ROW_GROUP_ROWS = 122_880
BATCH_ROWS = 50_000
MAX_VALUES = 100_000
"""Of a label or a slice column: more are texts or numbers, not classes."""
_LABEL_LIST = """from_json({}, '["VARCHAR"]')"""
_EACH_LABEL = f"unnest({_LABEL_LIST.format('label')})"
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
    connection.execute("CREATE TABLE dropped AS SELECT row, rule, evidence FROM rows WHERE rule IS NOT NULL")
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
        SELECT found.row, 'label_conflict', 'same text as ' || rows.source || ', labelled ' || found.label
        FROM found JOIN rows ON rows.row = found.twin""")


def drop_duplicates(connection: Connection) -> None:
    """All but the first row of every normalised text among the files of one split."""
    connection.execute(f"""
        INSERT INTO dropped
        WITH firsts AS (
            SELECT rank, {_KEY}, min(row) AS first FROM alive GROUP BY rank, {_KEY} HAVING count(*) > 1),
        copies AS (SELECT alive.row, first FROM alive JOIN firsts USING (rank, {_KEY}) WHERE alive.row <> first)
        SELECT copies.row, 'duplicate_exact', 'same text as ' || rows.source
        FROM copies JOIN rows ON rows.row = copies.first""")


def drop_leaks(connection: Connection) -> None:
    """Rows whose text or group also stands in the files of a split that is judged later.

    Test keeps its rows, because that is where a release is judged and a user's own test set should stay the one they
    know; validation gives way to test, and train to both.
    """
    for key, what in ((_KEY, "text"), ('"group"', "group")):
        connection.execute(f"""
            INSERT INTO dropped
            WITH lasts AS (
                SELECT {key}, max(rank) AS last FROM alive WHERE ({key}) IS NOT NULL
                GROUP BY {key} HAVING min(rank) <> max(rank)),
            firsts AS (
                SELECT {key}, last, min(row) AS twin FROM alive JOIN lasts USING ({key}) WHERE rank = last
                GROUP BY {key}, last),
            leaks AS (SELECT alive.row, twin FROM alive JOIN firsts USING ({key}) WHERE rank < last)
            SELECT leaks.row, 'leak_across_splits', 'same {what} as ' || rows.source
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
                    printf('%.0f%%', floor(100 * jaccard)) || ' of the shingles in common with ' || source
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
        INSERT INTO dropped SELECT row, 'contamination', evidence
        FROM contaminated_rows JOIN (SELECT row FROM alive) USING (row)""")
    connection.unregister("contaminated_rows")


def load_flags(connection: Connection) -> None:
    """Make the table `flagged` of what rules that drop nothing found in the rows left: row, rule, kind, evidence."""
    connection.execute("""
        CREATE TABLE flagged AS
        SELECT row, flag.rule AS rule, flag.kind AS kind, flag.evidence AS evidence
        FROM (SELECT row, unnest(flags) AS flag FROM alive WHERE flags IS NOT NULL)""")


def placed_batches(connection: Connection, scratch: Path, column: str) -> Iterator[pl.DataFrame]:
    """The rows left, piece by piece: `row`, `text`, `label`, `group`; call it again for another pass.

    Args:
        connection: the meeting, after `place_rows`.
        scratch: where the mapped files lie.
        column: of the wide rows, the one that holds the text.
    """
    cursor = connection.cursor()
    cursor.execute('SELECT piece, place, row, label, "group" FROM placed JOIN rows USING (row) ORDER BY piece, place')
    schema = {"piece": pl.Int32, "place": pl.Int64, "row": pl.Int64, "label": pl.String, "group": pl.String}
    while rows := cursor.fetchmany(BATCH_ROWS):
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        for (piece,), part in frame.group_by("piece", maintain_order=True):
            texts = pl.read_parquet(scratch / f"wide-{piece:07d}.parquet", columns=[wide_name(column)])
            yield part.select("row", texts.to_series().gather(part["place"]).alias("text"), "label", "group")
    cursor.close()


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


def flagged_by_rule(connection: Connection) -> dict[str, dict[str, int]]:
    """Rule -> kind -> rows with at least one finding; the kind `` stands for any."""
    found = connection.execute("""
        SELECT rule, '' AS kind, count(DISTINCT row) FROM flagged GROUP BY rule
        UNION ALL SELECT rule, kind, count(DISTINCT row) FROM flagged WHERE kind IS NOT NULL GROUP BY rule, kind
        ORDER BY rule, kind""").fetchall()
    by_rule: dict[str, dict[str, int]] = {}
    for rule, kind, count in found:
        by_rule.setdefault(rule, {})[kind] = count
    return by_rule


def write_flagged(connection: Connection, target: Path) -> None:
    """Write what rules that drop nothing found: `id`, `source`, `row`, `rule`, `kind`, `evidence`, row by row."""
    _copy(
        connection,
        "SELECT rows.id, rows.source, rows.row, flagged.rule, flagged.kind, flagged.evidence"
        " FROM flagged JOIN rows USING (row) ORDER BY rows.row, flagged.rule, flagged.evidence",
        target,
    )


def place_rows(
    connection: Connection,
    scratch: Path,
    *,
    shares: Mapping[str, float],
    seed: int,
    grouped: bool,
    several: bool = False,
) -> None:
    """Make the table `placed`: for every row left its `split` and its place in the order of its split.

    Rows of files that were named for a split stay there; the rest is divided by `shares`, stratified by label, every
    group whole. A row of several labels goes by the rarest of them, which is the hardest to divide (Sechidis et al.
    2011, On the stratification of multi-label data, begin there as well). The order depends on the texts and the seed
    alone.
    """
    connection.execute(
        "CREATE TABLE pool AS SELECT row, id, coalesce(label, '') AS label, \"group\", part,"
        f" sha256('{seed:d}' || chr(10) || id) AS hash FROM alive"
    )
    if several:
        connection.execute(f"""
            UPDATE pool SET label = coalesce(rarest.label, '') FROM (
                WITH each_label AS (SELECT row, {_EACH_LABEL} AS label FROM pool),
                sizes AS (SELECT label, count(*) AS size FROM each_label GROUP BY label)
                SELECT row, arg_min(label, (size, label)) AS label FROM each_label JOIN sizes USING (label) GROUP BY row
            ) AS rarest WHERE pool.row = rarest.row""")
    if grouped:
        _place_groups(connection, scratch, shares, seed)
    else:
        _place_singly(connection, scratch, shares)


def _place_singly(connection: Connection, scratch: Path, shares: Mapping[str, float]) -> None:
    counts = connection.execute("SELECT label, count(*) FROM pool WHERE part = 'train' GROUP BY label").fetchall()
    bounds = []
    for label, by_split in quotas(dict(counts), shares).items():
        start = 0
        for split, count in by_split.items():
            bounds.append({"label": label, "split": split, "after": start, "upto": start + count})
            start += count
    schema = {"label": pl.String, "split": pl.String, "after": pl.Int64, "upto": pl.Int64}
    add_table(connection, scratch, "bounds", pl.DataFrame(bounds, schema=schema))
    connection.execute("""
        CREATE TABLE placed AS
        WITH ranked AS (
            SELECT row, hash, label, row_number() OVER (PARTITION BY label ORDER BY hash, row) AS number
            FROM pool WHERE part = 'train')
        SELECT row, hash, bounds.split AS split FROM ranked
        JOIN bounds ON ranked.label = bounds.label AND number > "after" AND number <= upto
        UNION ALL SELECT row, hash, part AS split FROM pool WHERE part <> 'train'""")


def _place_groups(connection: Connection, scratch: Path, shares: Mapping[str, float], seed: int) -> None:
    connection.execute("""
        CREATE TABLE members AS SELECT row, hash, label,
            if("group" IS NULL, 'row ' || id, 'group ' || "group") AS member FROM pool WHERE part = 'train'""")
    counts = connection.execute(f"""
        WITH largest AS (
            SELECT member, count(*) AS size FROM members GROUP BY member
            ORDER BY size DESC, sha256('{seed:d}' || chr(10) || member) LIMIT {GREEDY_GROUPS})
        SELECT member, label, count(*) FROM members JOIN largest USING (member) GROUP BY member, label""").fetchall()
    home = split_groups(counts, shares, seed)
    schema = {"member": pl.String, "split": pl.String}
    add_table(connection, scratch, "home", pl.DataFrame(list(home.items()), schema=schema, orient="row"))
    edges = _edges(shares)
    late = " ".join(f"WHEN sha256('{seed:d}' || chr(10) || member) < '{edge}' THEN '{split}'" for split, edge in edges)
    connection.execute(f"""
        CREATE TABLE placed AS
        SELECT row, hash, coalesce(home.split, CASE {late} END) AS split FROM members LEFT JOIN home USING (member)
        UNION ALL SELECT row, hash, part AS split FROM pool WHERE part <> 'train'""")


def _edges(shares: Mapping[str, float]) -> list[tuple[str, str]]:
    """Upper edge of each split among hexadecimal digests, for groups too many to be weighed one by one."""
    total, edges = 0.0, []
    for split, share in shares.items():
        if share > 0:
            total += share
            edges.append((split, "g" if total >= 1 - 1e-9 else f"{int(total * 16**8):08x}"))
    return edges


def split_counts(connection: Connection, slices: Sequence[str], *, several: bool = False) -> dict[str, SplitCount]:
    """Rows, labels and slice values of each split; a row of several labels counts for each."""
    rows = connection.execute("SELECT split, count(*) FROM placed GROUP BY split").fetchall()
    labels = _values(connection, _EACH_LABEL if several else "label", "label IS NOT NULL")
    by_slice = {name: _values(connection, f"coalesce({slice_name(name)}, {quoted(NO_VALUE)})") for name in slices}
    return {
        split: SplitCount(
            dict(rows).get(split, 0),
            labels.get(split, {}),
            {name: values.get(split, {}) for name, values in by_slice.items()},
        )
        for split in SPLITS
    }


def _values(connection: Connection, expression: str, where: str = "true") -> dict[str, dict[str, int]]:
    """Split -> value of an expression -> rows, in the order of the values.

    Raises:
        InputError: there are more values than a class or a slice has.
    """
    found = connection.execute(
        f"SELECT split, {expression} AS value, count(*) FROM placed JOIN rows USING (row) WHERE {where}"
        f" GROUP BY split, value ORDER BY split, value LIMIT {3 * MAX_VALUES + 1}"
    ).fetchall()
    if len(found) > 3 * MAX_VALUES:
        raise InputError(
            Problem(
                f"a column of labels or slices holds more than {MAX_VALUES} different values",
                "name a column of classes in data.fields.label and data.slices, not one of texts or numbers",
            )
        )
    values: dict[str, dict[str, int]] = {}
    for split, value, count in found:
        values.setdefault(split, {})[value] = count
    return values


def dropped_by_rule(connection: Connection) -> list[Dropped]:
    """What each rule dropped, in the order of its first row."""
    found = connection.execute("""
        WITH numbered AS (
            SELECT *, row_number() OVER (PARTITION BY rule ORDER BY row) AS number FROM dropped),
        total AS (SELECT rule, count(*) AS size, min(row) AS first FROM dropped GROUP BY rule)
        SELECT rule, size, source, numbered.evidence FROM numbered JOIN total USING (rule)
        JOIN (SELECT row, source FROM rows) USING (row) WHERE number <= 3 ORDER BY first, number""").fetchall()
    by_rule: dict[str, Dropped] = {}
    for rule, size, source, evidence in found:
        by_rule.setdefault(rule, Dropped(rule, size, [])).first.append((source, evidence))
    return list(by_rule.values())


def length_percentiles(connection: Connection) -> dict[str, int]:
    """The 50th, 95th and 99th percentile and the maximum of the characters of the rows left; empty without a row."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    found = connection.execute(
        f"SELECT quantile_disc(characters, {list(shares.values())}) FROM placed JOIN rows USING (row)"
    ).fetchone()
    return dict(zip(shares, found[0], strict=True)) if found and found[0] is not None else {}


def train_lengths(connection: Connection) -> dict[int, int]:
    """Length in characters -> rows of train."""
    query = "SELECT characters, count(*) FROM placed JOIN rows USING (row) WHERE split = 'train' GROUP BY characters"
    return dict(connection.execute(query).fetchall())


def train_scripts(connection: Connection) -> dict[str, int]:
    """Script of most letters -> rows of train."""
    query = "SELECT script, count(*) FROM placed JOIN rows USING (row) WHERE split = 'train' GROUP BY script"
    return dict(connection.execute(query).fetchall())


def letter_counts(connection: Connection) -> list[int]:
    """Letters of train, then those of each script in the order of `SCRIPTS`."""
    columns = ["letters", *(f"script_{name}" for name in SCRIPTS)]
    sums = ", ".join(f"sum({named(column)})" for column in columns)
    query = f"SELECT {sums} FROM placed JOIN rows USING (row) WHERE split = 'train'"
    found = connection.execute(query).fetchone()
    return [int(value or 0) for value in found or ()]


def sampled_rows(connection: Connection, most: int) -> list[int]:
    """Rows of train drawn by their hashes, ascending."""
    query = f"SELECT row FROM placed WHERE split = 'train' ORDER BY hash, row LIMIT {most:d}"
    return sorted(row for (row,) in connection.execute(query).fetchall())


def write_split(connection: Connection, split: str, target: Path, shape: Shape, slices: Sequence[str]) -> None:
    """Write a split in its order: `id`, `source`, the shape's columns, `label` or `labels`, slices, `group`.

    A conversation becomes a list of turns with `role`, `content` and `tool_calls` (JSON, null where there is none).
    """
    texts = ", ".join(f"{_stored(column)} AS {named(name)}" for name, column in shape.stored.items())
    stored = ", ".join(f"coalesce(rows.{slice_name(name)}, {quoted(NO_VALUE)}) AS {named(name)}" for name in slices)
    label = "rows.label" if shape.labelled else ""
    if shape.several:
        label = f"{_LABEL_LIST.format('rows.label')} AS labels"
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
    """Write every dropped row with all its fields, then `source`, `row`, `rule`, `evidence`, `raw`."""
    kept = "".join(f"wide.{wide_name(column)} AS {named(name)}, " for column, name in fields.items())
    known = {name for name, *_ in connection.execute("DESCRIBE wide").fetchall()}
    unread = f"wide.{wide_name(raw)}" if wide_name(raw) in known else "NULL::VARCHAR"
    _copy(
        connection,
        f"SELECT {kept}rows.source, rows.row, dropped.rule, dropped.evidence, {unread} AS raw"
        " FROM dropped JOIN rows USING (row) JOIN wide USING (piece, place) ORDER BY rows.row",
        target,
    )


def _copy(connection: Connection, query: str, target: Path) -> None:
    options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
    connection.execute(f"COPY ({query}) TO {quoted(str(target))} ({options})")


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
