"""What the page shows of `prepared/`: drops by rule, copies, what is flagged, and samples, for every shape of row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.artifacts.files import write_json
from modelyard.artifacts.prepared import Dataset
from modelyard.evidence.report import Report
from modelyard.reporting.collect import collect
from modelyard.reporting.prepared import EXAMPLES, MAX_COPIES, MAX_RULES, read_data

Make = Callable[..., Any]


def prepared(folder: Path, splits: pl.DataFrame, dropped: pl.DataFrame, shape: str) -> None:
    """A prepared folder with the same rows in every split."""
    folder.mkdir()
    names = ("train", "validation", "test")
    for name in names:
        splits.write_parquet(folder / f"{name}.parquet")
    dropped.write_parquet(folder / "dropped.parquet")
    counts = dict.fromkeys(names, splits.height)
    dataset = Dataset(
        task="causal_lm", shape=shape, labels=[], counts=counts, digests={}, slices=[], seed=0, sources=[]
    )
    write_json(folder / "dataset.json", dataset)


def test_rules_stand_in_the_order_in_which_they_looked_with_the_rows_before_them(make: Make) -> None:
    data = collect(make().folder).data
    # 36 rows stay; three are too short, of the rest six are copies
    assert [(step.rule, step.before, step.rows, len(step.examples)) for step in data.steps] == [
        ("text_too_short", 45, 3, 3),
        ("duplicate_exact", 42, 6, 6),
    ]
    first = data.steps[0].examples[0]
    assert (first.source, first.text, first.said) == ("rows.csv:6", "dropped 6", "3 characters, the least is 10")


def test_copies_stand_under_the_row_that_stayed(make: Make) -> None:
    (group,) = collect(make().folder).data.groups
    assert (group.kept.source, group.kept.text, group.rows) == ("rows.csv:2", "text number 0 of test ", 6)
    assert [row.source for row in group.copies] == [f"rows.csv:{row}" for row in range(MAX_COPIES)]


def test_flagged_rows_are_counted_once_and_what_is_personal_stays_masked(make: Make) -> None:
    suspect, personal = collect(make().folder).data.flagged
    assert (suspect.rule, suspect.rows, suspect.kinds) == ("label_suspect", 1, {})
    assert suspect.examples[0].text.startswith("text number 0 of ")
    assert (personal.rule, personal.rows, personal.kinds) == ("personal_data", 1, {"email": 1, "ip": 1})
    assert [row.text for row in personal.examples] == ["", ""]


def test_a_sample_reaches_to_the_end_of_the_file(tmp_path: Path) -> None:
    rows = pl.DataFrame({"source": [f"a.jsonl:{n}" for n in range(1_000)], "text": [str(n) for n in range(1_000)]})
    gone = rows.with_row_index("row").with_columns(rule=pl.lit("text_too_short"), evidence=pl.lit("why"))
    prepared(tmp_path / "prepared", rows, gone, "text")
    data = read_data(tmp_path / "prepared", None)
    assert data is not None and data.labels == {}
    shown = [int(row.text) for row in data.steps[0].examples]
    assert len(shown) <= EXAMPLES and shown[0] == 0 and shown[-1] >= 1_000 * (1 - 2 / EXAMPLES)
    assert len(data.kept) == len(shown) and data.kept[0].said == ""


def test_conversations_and_columns_of_other_names(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "你好", "tool_calls": None},
        {"role": "assistant", "content": "", "tool_calls": "[1]"},
    ]
    rows = pl.DataFrame({"source": ["a.jsonl:1"], "messages": [turns]})
    gone = pl.DataFrame(
        {
            "dialog": ['[{"role": "user"}]', None],
            "source": ["a.jsonl:2", "a.jsonl:3"],
            "row": [2, 3],
            "rule": ["row_malformed", "row_unreadable"],
            "evidence": ["no end", "no JSON"],
            "raw": [None, "{broken"],
        }
    )
    prepared(tmp_path / "prepared", rows, gone, "messages")
    report = Report(stage="check", project="p", parameters={"fields": {"messages": "dialog"}})
    data = read_data(tmp_path / "prepared", report)
    assert data is not None
    assert [row.text for row in data.kept] == ["user: 你好\nassistant: [1]"]
    assert [(step.rule, step.before, step.examples[0].text) for step in data.steps] == [
        ("row_unreadable", 5, "{broken"),
        ("row_malformed", 4, '[{"role": "user"}]'),
    ]


def test_nothing_was_dropped_or_prepared(tmp_path: Path) -> None:
    assert read_data(tmp_path, None) is None
    rows = pl.DataFrame({"source": ["a:1"], "prompt": ["p"], "completion": ["c"]})
    prepared(tmp_path / "prepared", rows, rows, "prompt_completion")
    (tmp_path / "prepared/dropped.parquet").unlink()
    data = read_data(tmp_path / "prepared", None)
    assert data is not None
    assert (data.read, data.steps, data.groups, data.flagged) == (3, [], [], [])
    assert data.kept[0].text == "p\nc"


def test_more_rules_than_are_shown_are_counted(tmp_path: Path) -> None:
    rows = pl.DataFrame({"source": [f"a:{n}" for n in range(10)], "text": ["t"] * 10})
    names = [f"rule_{n:02d}" for n in range(MAX_RULES + 5)]
    gone = pl.DataFrame({"source": names, "row": range(len(names)), "text": names, "rule": names, "evidence": names})
    prepared(tmp_path / "prepared", rows, gone, "text")
    data = read_data(tmp_path / "prepared", None)
    assert data is not None
    assert (data.read, len(data.steps), data.hidden_steps) == (30 + len(names), MAX_RULES, 5)


def test_own_rules_stand_in_their_order_and_a_text_column_called_source_is_found(tmp_path: Path) -> None:
    rows = pl.DataFrame({"source": ["a:1"], "text": ["t"]})
    gone = pl.DataFrame(
        {
            "source_column": ["the text of 2", "the text of 3", "the text of 4"],
            "source": ["a:2", "a:3", "a:4"],
            "row": [2, 3, 4],
            "rule": ["a_rule", "z_rule", "duplicate_exact"],
            "evidence": ["e"] * 3,
        }
    )
    prepared(tmp_path / "prepared", rows, gone, "text")
    parameters = {"fields": {"text": "source"}, "user_rules": {"z_rule": "x", "a_rule": "y"}}
    data = read_data(tmp_path / "prepared", Report(stage="check", project="p", parameters=parameters))
    assert data is not None
    assert [(step.rule, step.before) for step in data.steps] == [("z_rule", 6), ("a_rule", 5), ("duplicate_exact", 4)]
    assert data.steps[0].examples[0].text == "the text of 3"


def test_what_is_personal_is_masked_wherever_a_text_is_shown(tmp_path: Path) -> None:
    rows = pl.DataFrame({"source": ["a:1"], "text": ["write to anna.berg@nordwind-logistik.de now"]})
    gone = pl.DataFrame(
        {
            "text": ["the key is AKIAQ3ZL5TYNWXCVB7RK"] * 2,
            "source": ["a:2", "a:3"],
            "row": [2, 3],
            "rule": ["duplicate_exact"] * 2,
            "evidence": ["same text as a:1", "same text as a:9"],
            "twin": ["a:1", "a:9"],
        }
    )
    prepared(tmp_path / "prepared", rows, gone, "text")
    data = read_data(tmp_path / "prepared", None)
    assert data is not None
    shown = [
        *data.kept,
        *data.steps[0].examples,
        *[row for group in data.groups for row in (group.kept, *group.copies)],
    ]
    assert len(shown) == 7
    assert not any("anna" in row.text or "AKIAQ3ZL5" in row.text for row in shown)


def test_a_first_row_that_went_later_says_so(tmp_path: Path) -> None:
    rows = pl.DataFrame({"source": ["a:9"], "text": ["t"]})
    gone = pl.DataFrame(
        {
            "text": ["same"] * 2,
            "source": ["a:1", "a:2"],
            "row": [1, 2],
            "rule": ["contamination", "duplicate_exact"],
            "evidence": ["90% of q:1", "same text as a:1"],
            "twin": [None, "a:1"],
        }
    )
    prepared(tmp_path / "prepared", rows, gone, "text")
    data = read_data(tmp_path / "prepared", None)
    assert data is not None
    assert [(group.kept.text, group.gone) for group in data.groups] == [("same", "contamination")]
