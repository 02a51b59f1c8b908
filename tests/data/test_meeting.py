"""What takes several rows to see, on rows made for it; the order of copies and sources."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from modelyard.data import counting, meeting
from modelyard.data.meeting import Connection

Row = tuple[str, str | None, str, str | None]
"""Text, label, the split it was named for, group."""


def twins(connection: Connection) -> dict[int, int | None]:
    return dict(connection.execute("SELECT row, twin FROM dropped").fetchall())


def gone(connection: Connection) -> dict[int, tuple[str, str]]:
    found = connection.execute("SELECT row, rule, evidence FROM dropped ORDER BY row").fetchall()
    return {row: (rule, evidence) for row, rule, evidence in found}


def train(*texts: tuple[str, str]) -> list[Row]:
    return [(text, label, "train", None) for text, label in texts]


def test_all_rows_of_a_conflict_go(connection: Connection, load: Any, tmp_path: Path) -> None:
    rows = train(
        ("the very same text", "a"), ("The very  same text", "b"), ("another text", "a"), ("THE VERY SAME TEXT", "a")
    )
    load(connection, tmp_path, rows)
    meeting.drop_conflicts(connection)
    assert gone(connection) == {
        1: ("label_conflict", "same text as r.csv:3, labelled b"),
        2: ("label_conflict", "same text as r.csv:2, labelled a"),
        4: ("label_conflict", "same text as r.csv:3, labelled b"),
    }
    assert twins(connection) == {1: 2, 2: 1, 4: 2}


def test_copies_after_normalisation_keep_the_first(connection: Connection, load: Any, tmp_path: Path) -> None:
    rows = train(
        ("It is ＧＯＯＤ ，really", "a"), ("it is good ,really", "a"), ("It  is good,  really!", "a"), ("short", "a")
    )
    load(connection, tmp_path, rows)
    meeting.drop_duplicates(connection)
    assert gone(connection) == {
        2: ("duplicate_exact", "same text as r.csv:2"),
        4: ("text_too_short", "5 characters, the least is 10"),
    }
    assert twins(connection) == {2: 1, 4: None}
    (first, second) = counting.dropped_by_rule(connection)
    assert (first.rule, first.rows, first.first) == ("duplicate_exact", 1, [("r.csv:3", "same text as r.csv:2")])
    assert (second.rule, second.rows) == ("text_too_short", 1)


def test_leaks_are_taken_from_train_and_kept_in_test(connection: Connection, load: Any, tmp_path: Path) -> None:
    rows: list[Row] = [
        ("the same long text", "a", "train", None),
        ("the same long text", "a", "test", None),
        ("some other text here", "a", "train", "g"),
        ("a third text of g", "a", "validation", "g"),
        ("the fourth text stays", "a", "train", "h"),
    ]
    load(connection, tmp_path, rows)
    meeting.drop_leaks(connection)
    assert gone(connection) == {
        1: ("leak_across_splits", "same text as r.csv:3"),
        3: ("leak_across_splits", "same group as r.csv:5"),
    }
    assert twins(connection) == {1: 2, 3: None}  # of one group, but another text


def test_no_function_of_the_database_reaches_the_network(connection: Connection) -> None:
    with pytest.raises(duckdb.Error):
        connection.execute("INSTALL httpfs")


LONG = "the quick brown fox jumps over the lazy dog and runs far away from the noisy village into the deep quiet forest"


def test_near_copies_of_the_same_label_go_and_test_keeps_its_own(
    connection: Connection, load: Any, tmp_path: Path
) -> None:
    rows: list[Row] = [
        (LONG, "a", "train", None),
        (f"{LONG} again", "a", "train", None),
        (f"{LONG} again", "b", "train", None),
        (f"{LONG} indeed", "a", "test", None),
        ("something else altogether that shares no words with the others", "a", "train", None),
    ]
    load(connection, tmp_path, rows, near=True)
    texts = dict(enumerate((text for text, *_ in rows), start=1))
    meeting.drop_near(
        connection,
        tmp_path,
        ("duplicate_near", "leak_near"),
        lambda wanted: pl.DataFrame({"row": list(wanted), "text": [texts[row] for row in wanted]}),
    )
    found = gone(connection)
    # 22 words make 18 shingles of 5; one word more makes one shingle more: 18 of 19 with the original, 18 of 20 else
    assert {row: rule for row, (rule, _) in found.items()} == {1: "leak_near", 2: "leak_near"}
    assert found[1][1] == "94% of the shingles in common with r.csv:5"
    assert found[2][1] == "90% of the shingles in common with r.csv:5"
    assert twins(connection) == {1: 4, 2: 4}
