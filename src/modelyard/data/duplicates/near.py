"""Near duplicates: texts that share most of their shingles, whichever row of a corpus they stand in.

Candidates meet in DuckDB by their band keys (`minhash.py`); only their texts are then read, some thousand
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

from modelyard.data.duplicates.minhash import THRESHOLD
from modelyard.data.duplicates.shingles import shingles
from modelyard.data.rules import normalised
from modelyard.data.tokenising import cut

Rows = NDArray[np.int64]
ReadTexts = Callable[[Sequence[int]], pl.DataFrame]

BATCH_BYTES = 8 * 1024**2  # of text read and compared at once; its shingles and their copies are some five times that
BATCH_PAIRS = 2**15  # their numbers, and those of their texts, fit into 16 bits
COMPARED_SHINGLES = 2**20  # of pairs at once: a long text may stand in every pair of a batch
GROUPED_KEYS = 2**22  # in one query, some 40 bytes each: all bands of a small corpus, one band of a large one
GROUPING_ROUNDS = 4  # groups within groups that are still compared in full; each costs a text for each row left

_CANDIDATES = """
    WITH keyed AS (SELECT row, unnest(bands[{begin}:{end}]) AS key FROM {rows}),
    shared AS (SELECT key, min(row) AS first FROM keyed GROUP BY key HAVING count(*) > 1)
    INSERT INTO near_found SELECT row, first FROM keyed JOIN shared USING (key) WHERE row <> first
"""
_PAIRS = """
    CREATE OR REPLACE TEMP TABLE near_pairs AS
    SELECT found.row, found.first, one.size_bytes + other.size_bytes AS size_bytes
    FROM (SELECT DISTINCT row, first FROM {found}) AS found
    JOIN {rows} AS one ON one.row = found.row JOIN {rows} AS other ON other.row = found.first
    ORDER BY found.row, found.first
"""
_BATCH = "SELECT first, row, size_bytes FROM near_pairs WHERE rowid >= ? AND rowid < ? ORDER BY rowid"


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


@dataclass(frozen=True)
class Corpus:
    """Where rows and their texts are; the fields are the arguments of `near_duplicates`."""

    connection: duckdb.DuckDBPyConnection
    rows: str
    read_texts: ReadTexts
    threshold: float

    @property
    def table(self) -> str:
        """The name of `rows` as SQL quotes it."""
        return '"' + self.rows.replace('"', '""') + '"'

    def number(self, query: str) -> int:
        """The one number that a query gives."""
        return int(self.connection.execute(query).fetchall()[0][0])


def near_duplicates(
    connection: duckdb.DuckDBPyConnection, *, rows: str, read_texts: ReadTexts, threshold: float = THRESHOLD
) -> pl.DataFrame:
    """The rows that are near duplicates of an earlier one that stays.

    A bucket of m rows that share a band key makes m - 1 pairs, each with the bucket's first row. That row may hide two
    later ones that are like each other and not like it; they still meet in their other bands, where it is not.

    Args:
        connection: holds `rows`; its memory limit is kept to, and its temporary folder used beyond.
        rows: name of a table or view with `row` BIGINT (distinct), `bands` UBIGINT[] (`band_keys` of the normalised
            text at this threshold; null is like no other) and `size_bytes` BIGINT (of the text).
        read_texts: from row numbers (ascending, distinct, 8 MiB of text at most or two texts) to a frame with `row`
            and `text`, in any order; normalised here.
        threshold: Jaccard similarity from which two texts are near duplicates, that of `bands`.

    Returns:
        `row` Int64, `kept` Int64 (the earlier row that stays, and that `row` was compared with), `jaccard` Float64 of
        the two, `threshold` or more; one line for each row to drop, by `row`.

    Raises:
        KeyError: `read_texts` left out a row.
    """
    corpus = Corpus(connection, rows, read_texts, threshold)
    try:
        copies = _copies(corpus, _alike_candidates(corpus))
    finally:
        connection.unregister("near_members")
        for name in ("near_found", "near_pairs"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
    return pl.DataFrame({"row": copies.row, "kept": copies.first, "jaccard": copies.jaccard}).sort("row")


def jaccards(texts: pl.Series, left: Rows, right: Rows, *, threshold: float = 0.0) -> NDArray[np.float64]:
    """Jaccard similarities of pairs of texts: shingles in both over shingles in either, 0 where there is none.

    Compared are 48 bits of each shingle's hash: two texts of a thousand shingles each have one wrongly in common with
    a probability of 4e-9.

    Args:
        texts: shape (texts,), String, normalised; 65,536 at most.
        left: shape (pairs,), indices into texts; 65,536 at most.
        right: shape (pairs,).
        threshold: pairs that cannot reach it, because one has so many more shingles, are not compared and given 0.
    """
    parts = list(shingles(texts))
    counts = np.concatenate([part.counts for part in parts])
    hashes = np.concatenate([part.hashes for part in parts]) >> np.uint64(16)
    hashes |= np.repeat(np.arange(counts.size, dtype=np.uint64) << np.uint64(48), counts)
    hashes.sort()  # and, several times faster than np.unique:
    hashes = hashes[np.diff(hashes, prepend=~hashes[:1]) != 0]  # each text's set, one after the other
    sizes = np.bincount((hashes >> np.uint64(48)).view(np.int64), minlength=counts.size)
    smaller, larger = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
    similarities = np.zeros(left.size)
    possible = np.flatnonzero((smaller > 0) & (smaller >= threshold * larger))
    for part in cut((smaller + larger)[possible], COMPARED_SHINGLES):
        at = possible[part]
        shared = _shared(hashes, sizes, left[at], right[at])
        similarities[at] = shared / (smaller[at] + larger[at] - shared)
    return similarities


def _shared(hashes: NDArray[np.uint64], sizes: Rows, left: Rows, right: Rows) -> Rows:
    """How many shingles the two sets of each pair have in common."""
    starts = np.cumsum(sizes) - sizes
    both = np.concatenate([_gather(hashes, starts[side], sizes[side]) for side in (left, right)])
    both.sort()
    equal = both[1:][both[1:] == both[:-1]] >> np.uint64(48)
    return np.bincount(equal.view(np.int64), minlength=left.size)


def _gather(hashes: NDArray[np.uint64], starts: Rows, sizes: Rows) -> NDArray[np.uint64]:
    """The sets at `starts`, end to end, with their place in `starts` in the upper 16 bits."""
    ends = np.cumsum(sizes)
    places = np.repeat(starts - ends + sizes, sizes)
    places += np.arange(places.size)
    gathered = hashes[places] & np.uint64(2**48 - 1)
    gathered |= np.repeat(np.arange(sizes.size, dtype=np.uint64) << np.uint64(48), sizes)
    return gathered


def _alike_candidates(corpus: Corpus) -> Pairs:
    """The candidate pairs that are alike; as many bands at a time as make `GROUPED_KEYS` keys, a key being a band's."""
    corpus.connection.execute("CREATE TEMP TABLE near_found (row BIGINT, first BIGINT)")
    bands = corpus.number(f"SELECT coalesce(max(len(bands)), 0) FROM {corpus.table}")
    step = max(1, GROUPED_KEYS // max(1, corpus.number(f"SELECT count(*) FROM {corpus.table}")))
    for begin in range(1, bands + 1, step):
        corpus.connection.execute(_CANDIDATES.format(begin=begin, end=begin + step - 1, rows=corpus.table))
    return _alike(corpus, "near_found")


def _alike(corpus: Corpus, found: str) -> Pairs:
    """Those pairs of a table that are alike, compared in the order of `row`, so that texts are read in theirs."""
    corpus.connection.execute(_PAIRS.format(found=found, rows=corpus.table))
    alike = []
    for start in range(0, corpus.number("SELECT count(*) FROM near_pairs"), BATCH_PAIRS):
        pairs = corpus.connection.execute(_BATCH, [start, start + BATCH_PAIRS]).fetchnumpy()
        for part in cut(pairs["size_bytes"], BATCH_BYTES):
            first, row = pairs["first"][part], pairs["row"][part]
            numbers, places = np.unique(np.concatenate([first, row]), return_inverse=True)
            texts = _read(corpus.read_texts, numbers)
            similarities = jaccards(texts, places[: row.size], places[row.size :], threshold=corpus.threshold)
            alike.append(Pairs(first, row, similarities).where(similarities >= corpus.threshold))
    return _joined(alike)


def _read(read_texts: ReadTexts, numbers: Rows) -> pl.Series:
    """The normalised texts of these rows, in their order."""
    read = read_texts(numbers.tolist()).select(pl.col("row").cast(pl.Int64), text=normalised("text")).sort("row")
    if not np.array_equal(read["row"].to_numpy(), numbers):
        raise KeyError(f"read_texts was asked for {numbers.size} rows and gave {read.height}, or others")
    return read["text"]


def _copies(corpus: Corpus, found: Pairs) -> Pairs:
    """For each row to drop, the row that stays for it."""
    known = [found]
    rest = found
    for _ in range(GROUPING_ROUNDS):
        if rest.row.size == 0:
            break
        members, heads = _groups(rest)
        compared = rest.row[rest.first == heads[np.searchsorted(members, rest.row)]]
        open_ = (members != heads) & ~np.isin(members, compared)
        more = _joined([])
        if open_.any():
            corpus.connection.register("near_members", {"row": members[open_], "first": heads[open_]})
            more = _alike(corpus, "near_members")
        known.append(more)
        settled = np.concatenate([heads, compared, more.row])
        rest = rest.where(~np.isin(rest.first, settled) & ~np.isin(rest.row, settled))
    return _stay_first(_joined(known))


def _groups(pairs: Pairs) -> tuple[Rows, Rows]:
    """The rows of some pairs, ascending, and for each the first row of its group; union-find over the pairs."""
    members, places = np.unique(np.concatenate([pairs.first, pairs.row]), return_inverse=True)
    edges = (places[: pairs.row.size], places[pairs.row.size :])
    # loaded where copies are looked for: a third of a second before a row is read
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

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
