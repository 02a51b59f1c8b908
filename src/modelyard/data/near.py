"""Near duplicates: texts that share most of their shingles, whichever row of a corpus they stand in.

Candidates meet in DuckDB by their band keys (`modelyard.data.minhash`); only their texts are then read, some thousand
at a time, and compared exactly. What is held in memory is numbers, a few for each near duplicate found.

Which row stays. Verified pairs are joined into groups by union-find, and of a group the first row stays. Likeness is
no equivalence: of a, b and c, c may be like b and b like a while c is far from a. So every other row of a group is
compared with its first one, and leaves as its copy only where the two are alike themselves. Those that are not form
groups anew, of which again the first stays. A row that is reported is thus always like the row named as kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from modelyard.data.minhash import THRESHOLD
from modelyard.data.rules import normalised
from modelyard.data.shingles import shingles

Rows = NDArray[np.int64]
ReadTexts = Callable[[Sequence[int]], pl.DataFrame]

BATCH_BYTES = 8 * 1024**2  # of text compared at once; its shingles and their copies are some ten times that
FIRST_BATCH_PAIRS, MAX_BATCH_PAIRS = 64, 2**15  # 128 texts of 1 MiB at worst, before their size is known
GROUPING_ROUNDS = 4  # groups within groups that are still compared in full; each costs a text for each row left

_CANDIDATES = """
    WITH keyed AS (SELECT row, bands[{band}] AS key FROM {rows} WHERE bands IS NOT NULL),
    shared AS (SELECT key, min(row) AS first FROM keyed GROUP BY key HAVING count(*) > 1)
    INSERT INTO near_found SELECT row, first FROM keyed JOIN shared USING (key) WHERE row <> first
"""
_DISTINCT = "CREATE TEMP TABLE near_pairs AS SELECT DISTINCT row, first FROM near_found ORDER BY row, first"
_BATCH = "SELECT first, row FROM near_pairs WHERE rowid >= ? AND rowid < ? ORDER BY rowid"


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows and how alike they are.

    Attributes:
        first: shape (pairs,), the smaller row number.
        row: shape (pairs,), the larger one.
        jaccard: shape (pairs,), similarity of their sets of shingles, 0 to 1.
    """

    first: Rows
    row: Rows
    jaccard: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_]) -> "Pairs":
        """The chosen ones."""
        return Pairs(self.first[chosen], self.row[chosen], self.jaccard[chosen])


def near_duplicates(
    connection: duckdb.DuckDBPyConnection, *, rows: str, read_texts: ReadTexts, threshold: float = THRESHOLD
) -> pl.DataFrame:
    """The rows that are near duplicates of an earlier one that stays.

    A bucket of m rows that share a band key makes m - 1 pairs, each with the bucket's first row. That row may hide two
    later ones that are like each other and not like it; they still meet in their other bands, where it is not.

    Args:
        connection: holds `rows`; its memory limit is kept to, and its temporary folder used beyond.
        rows: name of a table or view with `row` BIGINT (distinct) and `bands` UBIGINT[] (`band_keys` of the normalised
            text at this threshold; null is like no other).
        read_texts: from row numbers (ascending, distinct, 65,536 at most) to a frame with `row` and `text`, in any
            order; normalised here.
        threshold: Jaccard similarity from which two texts are near duplicates, above 0 and below 1.

    Returns:
        `row` Int64, `kept` Int64 (the earlier row that stays, and that `row` was compared with), `jaccard` Float64 of
        the two, `threshold` or more; one line for each row to drop, by `row`.

    Raises:
        KeyError: `read_texts` left out a row.
    """
    found = _verified_candidates(connection, rows, read_texts, threshold)
    copies = _copies(found, read_texts, threshold)
    return pl.DataFrame({"row": copies.row, "kept": copies.first, "jaccard": copies.jaccard}).sort("row")


def jaccards(texts: pl.Series, left: Rows, right: Rows) -> NDArray[np.float64]:
    """Jaccard similarities of pairs of texts: shingles in both over shingles in either, 0 where there is none.

    Compared are 48 bits of each shingle's hash: two texts of a thousand shingles each have one wrongly in common with
    a probability of 4e-9.

    Args:
        texts: shape (texts,), String, normalised; 65,536 at most.
        left: shape (pairs,), indices into texts; 65,536 at most.
        right: shape (pairs,).
    """
    parts = list(shingles(texts))
    counts = np.concatenate([part.counts for part in parts])
    hashes = np.concatenate([part.hashes for part in parts]) >> np.uint64(16)
    hashes |= np.repeat(np.arange(counts.size, dtype=np.uint64) << np.uint64(48), counts)
    hashes = np.unique(hashes)  # each text's set, one after the other
    sizes = np.bincount((hashes >> np.uint64(48)).view(np.int64), minlength=counts.size)
    starts = np.cumsum(sizes) - sizes
    both = np.concatenate([_gather(hashes, starts[side], sizes[side]) for side in (left, right)])
    both.sort()
    equal = both[1:][both[1:] == both[:-1]] >> np.uint64(48)
    shared = np.bincount(equal.view(np.int64), minlength=left.size)
    either = sizes[left] + sizes[right] - shared
    return np.asarray(shared / np.maximum(either, 1), dtype=np.float64)


def _gather(hashes: NDArray[np.uint64], starts: Rows, sizes: Rows) -> NDArray[np.uint64]:
    """The sets at `starts`, end to end, with their place in `starts` in the upper 16 bits."""
    ends = np.cumsum(sizes)
    places = np.repeat(starts - ends + sizes, sizes)
    places += np.arange(places.size)
    gathered = hashes[places] & np.uint64(2**48 - 1)
    gathered |= np.repeat(np.arange(sizes.size, dtype=np.uint64) << np.uint64(48), sizes)
    return gathered


def _verified_candidates(
    connection: duckdb.DuckDBPyConnection, rows: str, read_texts: ReadTexts, threshold: float
) -> Pairs:
    """The candidate pairs that are alike, compared in the order of `row`, so that texts are read in theirs.

    One band after the other, so that DuckDB sorts and groups a key for each row at a time and no more.
    """
    table = '"' + rows.replace('"', '""') + '"'

    def fetch(start: int, stop: int) -> tuple[Rows, Rows]:
        columns = connection.execute(_BATCH, [start, stop]).fetchnumpy()
        return np.asarray(columns["first"]), np.asarray(columns["row"])

    try:
        connection.execute("CREATE TEMP TABLE near_found (row BIGINT, first BIGINT)")
        bands = _number(connection, f"SELECT coalesce(max(len(bands)), 0) FROM {table}")
        for band in range(1, bands + 1):
            connection.execute(_CANDIDATES.format(band=band, rows=table))
        connection.execute(_DISTINCT)
        total = _number(connection, "SELECT count(*) FROM near_pairs")
        return _verified(fetch, total, read_texts, threshold)
    finally:
        connection.execute("DROP TABLE IF EXISTS near_found")
        connection.execute("DROP TABLE IF EXISTS near_pairs")


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])


def _verified(
    fetch: Callable[[int, int], tuple[Rows, Rows]], total: int, read_texts: ReadTexts, threshold: float
) -> Pairs:
    """Those of `total` pairs that are alike; `fetch` gives a range of them. A batch is sized by the texts before it."""
    found = []
    start, size = 0, FIRST_BATCH_PAIRS
    while start < total:
        stop = min(start + size, total)
        first, row = fetch(start, stop)
        numbers, places = np.unique(np.concatenate([first, row]), return_inverse=True)
        texts = _read(read_texts, numbers)
        jaccard = jaccards(texts, places[: first.size], places[first.size :])
        found.append(Pairs(first, row, jaccard).where(jaccard >= threshold))
        pair_bytes = int(texts.str.len_bytes().sum()) / first.size
        size = max(1, min(4 * size, MAX_BATCH_PAIRS, int(BATCH_BYTES / max(pair_bytes, 1))))
        start = stop
    return _joined(found)


def _read(read_texts: ReadTexts, numbers: Rows) -> pl.Series:
    """The normalised texts of these rows, in their order."""
    read = read_texts(numbers.tolist()).select(pl.col("row").cast(pl.Int64), text=normalised("text")).sort("row")
    if not np.array_equal(read["row"].to_numpy(), numbers):
        raise KeyError(f"read_texts was asked for {numbers.size} rows and gave {read.height}, or others")
    return read["text"]


def _copies(found: Pairs, read_texts: ReadTexts, threshold: float) -> Pairs:
    """For each row to drop, the row that stays for it."""
    known = [found]
    rest = found
    for _ in range(GROUPING_ROUNDS):
        if rest.row.size == 0:
            break
        members, heads = _groups(rest)
        compared = rest.first == heads[np.searchsorted(members, rest.row)]
        open_ = (members != heads) & ~np.isin(members, rest.row[compared])
        first, row = heads[open_], members[open_]
        more = _verified(_from(first, row), row.size, read_texts, threshold)
        known.append(more)
        settled = np.concatenate([heads, rest.row[compared], more.row])
        rest = rest.where(~np.isin(rest.first, settled) & ~np.isin(rest.row, settled))
    return _stay_first(_joined(known))


def _from(first: Rows, row: Rows) -> Callable[[int, int], tuple[Rows, Rows]]:
    return lambda start, stop: (first[start:stop], row[start:stop])


def _groups(pairs: Pairs) -> tuple[Rows, Rows]:
    """The rows of some pairs, ascending, and for each the first row of its group; union-find over the pairs."""
    members, places = np.unique(np.concatenate([pairs.first, pairs.row]), return_inverse=True)
    edges = (places[: pairs.row.size], places[pairs.row.size :])
    graph = coo_array((np.ones(pairs.row.size, dtype=np.bool_), edges), shape=(members.size, members.size))
    _, group = connected_components(graph, directed=False)
    _, firsts = np.unique(group, return_index=True)
    return members, members[firsts[group]]


def _stay_first(pairs: Pairs) -> Pairs:
    """In the order of rows, each leaves that is like an earlier one that stayed; the first such is named.

    A loop over the pairs found, because whether a row stays depends on all before it.
    """
    order = np.lexsort((pairs.first, pairs.row))
    gone: set[int] = set()
    chosen = np.zeros(order.size, dtype=np.bool_)
    for place, first, row in zip(order.tolist(), pairs.first[order].tolist(), pairs.row[order].tolist(), strict=True):
        if row not in gone and first not in gone:
            gone.add(row)
            chosen[place] = True
    return pairs.where(chosen)


def _joined(parts: Sequence[Pairs]) -> Pairs:
    empty = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64))
    parts = [empty, *parts]
    return Pairs(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.jaccard for part in parts]),
    )
