"""Modelyard's near duplicates, run by benchmarks/near_duplicates.py in a process of its own like every peer.

    near_ours.py INPUT.jsonl OUTPUT.json {"processes": 2}

From texts in memory to groups: normalised (unless they are), signed by worker processes in pieces of 500 rows, their
keys through a Parquet file into DuckDB, candidates compared. Workers are started and warm before the clock, as the
peers' are; with one process all work is done on one thread.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import duckdb
import polars as pl

from modelyard.data.duplicates.minhash import band_keys
from modelyard.data.duplicates.near import near_duplicates
from modelyard.data.rules import normalised

PIECE_ROWS = 500


def sign(piece: pl.DataFrame) -> pl.DataFrame:
    """`row`, `bands` and `size_bytes` of a piece with `row` and `text`."""
    keys = band_keys(piece.select(text=normalised("text"))["text"])
    return piece.select("row", bands=keys, size_bytes=pl.col("text").str.len_bytes())


def sign_normalised(piece: pl.DataFrame) -> pl.DataFrame:
    """The same where `text` is normalised already."""
    return piece.select("row", bands=band_keys(piece["text"]), size_bytes=pl.col("text").str.len_bytes())


def find(rows: pl.DataFrame, signed: Iterator[pl.DataFrame], threads: int) -> tuple[float, list[list[int]]]:
    """Seconds until all were signed, and (row, kept) of each near duplicate."""
    start = time.perf_counter()
    keys = pl.concat(list(signed))
    seconds = time.perf_counter() - start
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect() as connection:
        keys.write_parquet(file.name)
        connection.execute(f"SET threads = {threads}")
        connection.execute(f"CREATE VIEW keys AS SELECT * FROM read_parquet('{file.name}')")
        found = near_duplicates(
            connection, rows="keys", read_texts=lambda wanted: rows.filter(pl.col("row").is_in(wanted))
        )
    return seconds, found.select("row", "kept").rows()


def main() -> None:
    """Warm up, run once by the clock, write seconds and groups."""
    source, target, chosen = sys.argv[1:]
    settings = json.loads(chosen)
    rows = pl.read_ndjson(source)
    work: Callable[[pl.DataFrame], pl.DataFrame] = sign
    if settings.get("normalised"):
        rows, work = rows.with_columns(normalised("text")), sign_normalised
    pieces = list(rows.iter_slices(PIECE_ROWS))
    find(rows[:100], map(work, [rows[:100]]), settings["processes"])
    if settings["processes"] == 1:
        start = time.perf_counter()
        sign_seconds, found = find(rows, map(work, pieces), 1)
        seconds = time.perf_counter() - start
    else:
        with ProcessPoolExecutor(settings["processes"], mp_context=get_context("spawn")) as pool:
            list(pool.map(work, [rows[:100]] * 8))
            start = time.perf_counter()
            sign_seconds, found = find(rows, pool.map(work, pieces), settings["processes"])
            seconds = time.perf_counter() - start
    groups = [[row, kept] for row, kept in found] + [[kept, kept] for kept in sorted({kept for _, kept in found})]
    size_bytes = int(rows["text"].str.len_bytes().sum())
    answer = {"seconds": seconds, "sign_seconds": sign_seconds, "bytes": size_bytes, "groups": groups}
    Path(target).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
