"""What takes several rows to see, on rows made for it; the order of copies, sources and splits."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from modelyard.data import meeting
from modelyard.data.features import Plan, features
from modelyard.data.mapping import slice_name, wide_name
from modelyard.data.meeting import Connection
from modelyard.data.reading.shapes import Shape
from modelyard.data.split import shares_of
from modelyard.errors import InputError

Row = tuple[str, str | None, str, str | None]
"""Text, label, the split it was named for, group."""


def load(connection: Connection, folder: Path, rows: list[Row], *, near: bool = False) -> None:
    shape = Shape(name="text_label", columns={"text": "text", "label": "label"})
    frame = pl.DataFrame(rows, schema=["text", "label", "part", "group"], orient="row").cast(pl.String)
    nothing = {name: pl.lit(None, pl.String) for name in ("text_type", "label_type", "shape_problem", "unreadable")}
    frame = frame.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64), **nothing)
    frame = frame.with_columns(pl.lit("film").alias(slice_name("site")))
    narrow = features(
        frame.drop("part"), Plan(shape=shape, rules=("text_too_short", *(("duplicate_near",) if near else ())))
    )
    place = {"file": pl.lit(0, pl.Int32), "line": pl.col("place") + 2, "piece": pl.lit(0, pl.Int32)}
    narrow = narrow.rename({"row": "place"}).with_columns(frame["part"]).with_columns(**place)
    narrow.write_parquet(folder / "narrow-0.parquet")
    wide = frame.select(pl.col("row").alias("place"), pl.col("text").alias(wide_name("text")))
    wide.with_columns(piece=pl.lit(0, pl.Int32)).write_parquet(folder / "wide-0.parquet")
    meeting.load_rows(connection, folder, [len(rows)], ["r.csv"])


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with meeting.open_meeting(tmp_path, memory_bytes=200 * 1024**2, threads=1) as opened:
        yield opened


def gone(connection: Connection) -> dict[int, tuple[str, str]]:
    found = connection.execute("SELECT row, rule, evidence FROM dropped ORDER BY row").fetchall()
    return {row: (rule, evidence) for row, rule, evidence in found}


def train(*texts: tuple[str, str]) -> list[Row]:
    return [(text, label, "train", None) for text, label in texts]


def test_all_rows_of_a_conflict_go(connection: Connection, tmp_path: Path) -> None:
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


def test_copies_after_normalisation_keep_the_first(connection: Connection, tmp_path: Path) -> None:
    rows = train(
        ("It is ＧＯＯＤ ，really", "a"), ("it is good ,really", "a"), ("It  is good,  really!", "a"), ("short", "a")
    )
    load(connection, tmp_path, rows)
    meeting.drop_duplicates(connection)
    assert gone(connection) == {
        2: ("duplicate_exact", "same text as r.csv:2"),
        4: ("text_too_short", "5 characters, the least is 10"),
    }
    (first, second) = meeting.dropped_by_rule(connection)
    assert (first.rule, first.rows, first.first) == ("duplicate_exact", 1, [("r.csv:3", "same text as r.csv:2")])
    assert (second.rule, second.rows) == ("text_too_short", 1)


def test_leaks_are_taken_from_train_and_kept_in_test(connection: Connection, tmp_path: Path) -> None:
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


def placed(connection: Connection) -> dict[str, str]:
    query = "SELECT wide.{}, placed.split FROM placed JOIN rows USING (row) JOIN wide USING (piece, place)"
    return dict(connection.execute(query.format(wide_name("text"))).fetchall())


def test_places_depend_on_texts_and_seed_alone(tmp_path: Path) -> None:
    texts = [(f"text of number {n}", "ab"[n % 2]) for n in range(200)]
    found = []
    for number, order in enumerate((texts, texts[::-1])):
        folder = tmp_path / str(number)
        folder.mkdir()
        with meeting.open_meeting(folder, memory_bytes=200 * 1024**2, threads=2) as opened:
            load(opened, folder, train(*order))
            meeting.place_rows(opened, folder, shares=shares_of(0.15, 0.25), seed=7, grouped=False)
            found.append(placed(opened))
            counts = meeting.split_counts(opened, ["site"])
    assert found[0] == found[1]
    assert {name: one.labels for name, one in counts.items()} == {
        "train": {"a": 60, "b": 60},
        "validation": {"a": 15, "b": 15},
        "test": {"a": 25, "b": 25},
    }
    assert counts["test"].slices == {"site": {"film": 50}}

    def hashed(text: str) -> str:
        ident = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        return hashlib.sha256(f"7\n{ident}".encode()).hexdigest()

    # of each label the first 60 in the order of SHA-256 over seed and id are train
    own = sorted((text for text, label in texts if label == "a"), key=hashed)
    assert {text for text in own[:60]} == {text for text in own if found[0][text] == "train"}


@pytest.mark.parametrize("greedy", [200_000, 5])
def test_groups_stay_whole(
    greedy: int, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "GREEDY_GROUPS", greedy)
    rows: list[Row] = [(f"text of number {n}", "a", "train", f"g{n % 60}" if n % 3 else None) for n in range(600)]
    load(connection, tmp_path, rows)
    meeting.place_rows(connection, tmp_path, shares=shares_of(0.2, 0.2), seed=1, grouped=True)
    home = placed(connection)
    splits: dict[str, set[str]] = {}
    for text, _, _, group in rows:
        if group:
            splits.setdefault(group, set()).add(home[text])
    assert all(len(one) == 1 for one in splits.values())
    assert len(home) == 600
    assert 0.1 < sum(split == "test" for split in home.values()) / 600 < 0.3


def test_a_column_of_texts_is_no_column_of_classes(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "MAX_VALUES", 3)
    load(connection, tmp_path, train(*((f"text of number {n}", f"label {n}") for n in range(40))))
    meeting.place_rows(connection, tmp_path, shares=shares_of(0.2, 0.2), seed=1, grouped=False)
    with pytest.raises(InputError, match="more than 3 different values"):
        meeting.split_counts(connection, [])


def test_no_function_of_the_database_reaches_the_network(connection: Connection) -> None:
    with pytest.raises(duckdb.Error):
        connection.execute("INSTALL httpfs")


LONG = "the quick brown fox jumps over the lazy dog and runs far away from the noisy village into the deep quiet forest"


def test_near_copies_of_the_same_label_go_and_test_keeps_its_own(connection: Connection, tmp_path: Path) -> None:
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
