"""Each rule on rows made for it; budgets and severities from the project."""

import polars as pl
import pytest

from modelyard.data.characters import read_characters
from modelyard.data.rules import RULES, chosen_rules, judge_rows, judged_rules, normalised
from modelyard.errors import InputError
from modelyard.project.data import DataSection, RuleSection


def dropped(
    *rows: tuple[str | None, str | None], minimum: int | None = None, **columns: list[str | None]
) -> dict[int, str]:
    empty: list[str | None] = [None] * len(rows)
    names = ("text_type", "label_type", "shape_problem", "unreadable")
    frame = pl.DataFrame(
        {
            "row": range(1, len(rows) + 1),
            "text": pl.Series([text for text, _ in rows], dtype=pl.String),
            "label": pl.Series([label for _, label in rows], dtype=pl.String),
            **{name: pl.Series(columns.get(name, empty), dtype=pl.String) for name in names},
        }
    )
    counts, _ = read_characters(frame["text"].fill_null(""))
    gone = judge_rows(frame.hstack(counts), chosen_rules({}), minimum, labelled=True)
    return {row: rule for row, rule in gone.select("row", "rule").iter_rows() if rule is not None}


def test_length_depends_on_the_script() -> None:
    rows = (("nine char", "a"), ("ten chars!", "a"), ("四个字好", "b"), ("三个字", "b"))
    assert dropped(*rows) == {1: "text_too_short", 4: "text_too_short"}
    assert dropped(*rows, minimum=3) == {}


def test_missing_empty_and_long() -> None:
    rows = (
        (None, "a"),
        ("   ", "a"),
        ("a real text here", None),
        ("x" * (1024**2 + 1), "a"),
        ("a good text", "l" * 201),
    )
    assert dropped(*rows) == {
        1: "fields_present",
        2: "text_empty",
        3: "fields_present",
        4: "text_too_long",
        5: "label_too_long",
    }


def test_what_the_reader_found() -> None:
    row = ("a good long text", "a")
    assert dropped(row, row, text_type=["a number", None]) == {1: "text_is_string"}
    assert dropped(row, row, shape_problem=[None, "turn 2 is empty"]) == {2: "row_malformed"}
    assert dropped(row, unreadable=["not JSON"]) == {1: "row_unreadable"}
    assert dropped(row, label_type=["a list"]) == {1: "fields_present"}


def test_rules_about_labels_are_left_out_where_there_are_none() -> None:
    assert {"label_count", "label_conflict", "slice_too_small"} & set(chosen_rules({}, labelled=False)) == set()
    assert "duplicate_exact" in chosen_rules({}, labelled=False)


def test_normalised_joins_what_a_reader_takes_for_equal() -> None:
    texts = pl.DataFrame({"text": ["ＡＢＣ　１２３", "abc 123", "Straße", "STRASSE"]})
    keys = texts.select(normalised("text")).to_series().to_list()
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]


def test_projects_change_rules() -> None:
    rules = chosen_rules({"duplicate_exact": RuleSection(budget=0.5, severity="error")})
    assert rules["duplicate_exact"].verdict(0.6, n=100).outcome == "FAIL"
    assert rules["duplicate_exact"].verdict(0.4, n=100).outcome == "PASS"
    assert "text_empty" not in chosen_rules({"text_empty": RuleSection(severity="off")})


def test_every_wrong_change_is_named() -> None:
    with pytest.raises(InputError) as found:
        chosen_rules(
            {
                "duplicates_exact": RuleSection(budget=0.1),
                "not_empty": RuleSection(severity="off"),
                "text_empty": RuleSection(minimum=3),
                "label_conflict": RuleSection(budget=5.0),
                "slice_too_small": RuleSection(budget=1.0),
            }
        )
    assert len(found.value.problems) == 5
    assert "did you mean duplicate_exact" in str(found.value)


def test_rules_are_documented_and_distinct() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) >= 12
    assert all(rule.finds and rule.why for rule in RULES)


def test_rows_of_several_labels_need_one_label_and_no_size() -> None:
    data = DataSection(train="rows.jsonl")
    one = judged_rules(data, labelled=True, own=[])
    several = judged_rules(data, labelled=True, several=True, own=[])
    assert (one["label_count"].budget, several["label_count"].budget) == (2, 1)
    assert set(one) - set(several) == {"slice_too_small"}
    wanted = DataSection(train="rows.jsonl", rules={"label_count": RuleSection(budget=5)})
    assert judged_rules(wanted, labelled=True, several=True, own=[])["label_count"].budget == 5
