import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from modelyard.data.duplicates import near as module
from modelyard.data.duplicates.minhash import band_keys
from modelyard.data.duplicates.near import jaccards, near_duplicates
from modelyard.data.rules import normalised

ENGLISH = "the room was clean and the staff were friendly but breakfast on the second day was cold and late "
CHINESE = "房间很干净服务员也很热情就是第二天的早餐有点凉而且上得太晚了希望下次能够改进一下我们还会再来的谢谢"


def found(
    texts: Sequence[str | None], *, threshold: float = 0.8, first_row: int = 0, reads: list[int] | None = None
) -> list[tuple[int, int, float]]:
    frame = pl.DataFrame(
        {"row": range(first_row, first_row + len(texts)), "text": texts}, schema_overrides={"text": pl.String}
    )
    with duckdb.connect() as connection:
        fill(connection, frame, threshold)

        def read(rows: Sequence[int]) -> pl.DataFrame:
            if reads is not None:
                reads.extend(rows)
            return frame.filter(pl.col("row").is_in(list(rows))).reverse()

        answer = near_duplicates(connection, rows="keys", read_texts=read, threshold=threshold)
        assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchall() == [(0,)]
    assert answer.schema == {"row": pl.Int64, "kept": pl.Int64, "jaccard": pl.Float64}
    return answer.rows()


def fill(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame, threshold: float = 0.8) -> None:
    keys = band_keys(frame.select(text=normalised("text"))["text"], threshold=threshold)
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        frame.select("row", bands=keys, size_bytes=pl.col("text").str.len_bytes()).write_parquet(file.name)
        connection.execute(f"CREATE TABLE keys AS SELECT * FROM read_parquet('{file.name}')")


def words(first: int, last: int) -> str:
    return " ".join(f"w{number}" for number in range(first, last))


def characters(first: int, last: int) -> str:
    return "".join(chr(0x4E00 + number) for number in range(first, last))


@pytest.mark.parametrize("text", [ENGLISH * 3, CHINESE], ids=["English", "Chinese"])
def test_a_copy_with_an_edit_is_found_and_another_text_is_not(text: str) -> None:
    assert [
        row[:2] for row in found([text, "好" + text, "something else altogether, 完全不同的内容"], first_row=10)
    ] == [(11, 10)]


@pytest.mark.parametrize("make", [words, characters], ids=["words", "Han"])
def test_jaccard_is_that_of_the_sets_of_shingles(make: Callable[[int, int], str]) -> None:
    # 100 tokens have 96 shingles; 96 - 9 are shared with the same text moved by 9 tokens: 87 / (96 + 96 - 87)
    assert found([make(0, 100), make(9, 109)]) == [(1, 0, 87 / 105)]
    assert found([make(0, 100), make(11, 111)]) == []  # 85 / 107 = 0.794
    assert found([make(0, 100), make(11, 111)], threshold=0.7) == [(1, 0, 85 / 107)]


def test_repeats_count_once_and_texts_without_shingles_are_like_nothing() -> None:
    texts = pl.Series([words(0, 10), words(0, 10) + " " + words(0, 10), "", "。", "很好"])
    similarity = jaccards(texts, np.array([0, 0, 2, 2, 4, 4]), np.array([0, 1, 3, 2, 4, 0]))
    assert similarity.tolist() == [1.0, 0.6, 0.0, 0.0, 1.0, 0.0]  # 6 of 6 and the 4 that cross the seam


def test_short_chinese_reviews_that_differ_in_punctuation_are_found() -> None:
    assert found(["很好。", "不错", "很好！！", "。。", "很 好", None, "很不好"]) == [(2, 0, 1.0), (4, 0, 1.0)]


def test_of_a_chain_only_what_is_like_the_row_that_stays_is_dropped() -> None:
    chain = [words(6 * step, 6 * step + 100) for step in range(5)]
    # neighbours share 90 of 102: 0.88; next but one 84 of 108: 0.78. 0 stays for 1; of 2, 3 and 4 then 2 stays for 3
    assert found(chain) == [(1, 0, 90 / 102), (3, 2, 90 / 102)]


def test_the_first_row_stays_also_where_a_later_one_is_liker() -> None:
    assert found([words(0, 100), words(4, 104), words(5, 105)]) == [(1, 0, 92 / 100), (2, 0, 91 / 101)]


def test_a_row_that_is_linked_only_by_others_is_compared_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2 and 0 are like each other but meet in no bucket here, because 1 stands between them
    texts = [words(0, 100), words(4, 104), words(8, 108)]
    frame = pl.DataFrame({"row": [0, 1, 2], "text": texts})
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE keys AS SELECT row, bands, 9 AS size_bytes "
            "FROM (VALUES (0, [1, 2]), (1, [1, 3]), (2, [4, 3])) t(row, bands)"
        )
        answer = near_duplicates(
            connection, rows="keys", read_texts=lambda rows: frame.filter(pl.col("row").is_in(rows))
        )
        monkeypatch.setattr(module, "GROUPING_ROUNDS", 0)
        without = near_duplicates(
            connection, rows="keys", read_texts=lambda rows: frame.filter(pl.col("row").is_in(rows))
        )
    assert answer.rows() == [(1, 0, 92 / 100), (2, 0, 88 / 104)]
    assert without.rows() == [(1, 0, 92 / 100)]


@pytest.mark.parametrize("keys", [2**22, 1])
def test_a_bucket_makes_as_many_pairs_as_it_has_rows(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    monkeypatch.setattr(module, "GROUPED_KEYS", keys)
    reads: list[int] = []
    copies = [f"{words(0, 100)} {number}" for number in range(500)]
    assert len(found(copies, reads=reads)) == 499
    assert len(reads) < 3 * 500


def test_texts_are_read_in_batches_of_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    frame = pl.DataFrame({"row": range(600), "text": [f"{words(0, 30 + 270 * (n % 2))} {n}" for n in range(600)]})
    monkeypatch.setattr(module, "BATCH_BYTES", 30_000)
    monkeypatch.setattr(module, "BATCH_PAIRS", 100)
    with duckdb.connect() as connection:
        fill(connection, frame)

        def read(rows: Sequence[int]) -> pl.DataFrame:
            assert list(rows) == sorted(set(rows))
            texts = frame.filter(pl.col("row").is_in(list(rows)))
            sizes.append(int(texts["text"].str.len_bytes().sum()))
            return texts

        assert near_duplicates(connection, rows="keys", read_texts=read).height == 598
    assert 20 < len(sizes) < 60 and max(sizes) <= 30_000


@pytest.mark.parametrize("most", [2**20, 500])
def test_pairs_are_compared_some_at_a_time(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(module, "COMPARED_SHINGLES", most)
    texts = pl.Series([words(0, 100 + number) for number in range(40)])
    similarity = jaccards(texts, np.zeros(40, dtype=np.int64), np.arange(40), threshold=0.8)
    expected = [96 / (96 + number) for number in range(40)]
    assert similarity.tolist() == [value if value >= 0.8 else 0.0 for value in expected]


def test_keys_may_come_from_a_view_of_parquet_with_any_name(tmp_path: Path) -> None:
    frame = pl.DataFrame({"row": [3, 1, 2], "text": [CHINESE, CHINESE + "。", "。"]})
    frame.select("row", bands=band_keys(frame["text"]), size_bytes=20).write_parquet(tmp_path / "keys.parquet")
    with duckdb.connect() as connection:
        connection.execute(f"""CREATE VIEW "the ""keys" AS SELECT * FROM read_parquet('{tmp_path}/keys.parquet')""")
        answer = near_duplicates(connection, rows='the "keys', read_texts=lambda _: frame[:2])
    assert answer.rows() == [(3, 1, 1.0)]


def test_nothing_in_nothing_out() -> None:
    assert found([]) == []
    assert found([None, "。", "很好"]) == []


def test_a_row_that_is_not_read_is_an_error_and_leaves_no_table() -> None:
    frame = pl.DataFrame({"row": [1, 2], "text": [ENGLISH, ENGLISH + "!"]})
    with duckdb.connect() as connection:
        fill(connection, frame)
        with pytest.raises(KeyError, match="2 rows and gave 1"):
            near_duplicates(connection, rows="keys", read_texts=lambda _: frame[:1])
        assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchall() == [(0,)]
