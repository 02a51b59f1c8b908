"""Which split every row that is left belongs to, and its place there."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from modelyard.data.mapping import wide_name
from modelyard.data.meeting import EACH_LABEL, Connection, add_table
from modelyard.data.split import GREEDY_GROUPS, quotas, split_groups

BATCH_ROWS = 50_000


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
    # 64 bits in the order of the hexadecimal digits: whole digests are ten times as much to write and to sort
    member = """, if("group" IS NULL, 'row ' || id, 'group ' || "group") AS member""" if grouped else ""
    connection.execute(
        f"CREATE TABLE pool AS SELECT row, coalesce(label, '') AS label, part{member},"
        f" ('0x' || left(sha256('{seed:d}' || chr(10) || id), 16))::UBIGINT AS hash FROM alive"
    )
    if several:
        connection.execute(f"""
            UPDATE pool SET label = coalesce(rarest.label, '') FROM (
                WITH each_label AS (SELECT row, {EACH_LABEL} AS label FROM pool),
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
    connection.execute("CREATE VIEW members AS SELECT row, hash, label, member FROM pool WHERE part = 'train'")
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


def sampled_rows(connection: Connection, most: int) -> list[int]:
    """Rows of train drawn by their hashes, ascending."""
    query = f"SELECT row FROM placed WHERE split = 'train' ORDER BY hash, row LIMIT {most:d}"
    return sorted(row for (row,) in connection.execute(query).fetchall())


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
