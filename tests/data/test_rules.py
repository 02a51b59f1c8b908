"""Each rule on rows made for it; budgets and severities from the project."""

import polars as pl
import pytest

from modelyard.data.rules import RULES, add_keys, chosen_rules, drop_rows, normalised
from modelyard.errors import InputError
from modelyard.project.data import RuleSection


def frame(*rows: tuple[str | None, str | None], part: str | list[str] = "train") -> pl.DataFrame:
    parts = [part] * len(rows) if isinstance(part, str) else part
    return pl.DataFrame(
        {
            "row": list(range(1, len(rows) + 1)),
            "source": [f"rows.csv:{line}" for line in range(2, len(rows) + 2)],
            "part": parts,
            "text": [text for text, _ in rows],
            "text_type": [None] * len(rows),
            "label": [label for _, label in rows],
            "label_type": [None] * len(rows),
            "unreadable": [None] * len(rows),
            "group": [None] * len(rows),
        },
        schema_overrides={
            name: pl.String for name in ("text", "text_type", "label", "label_type", "unreadable", "group")
        },
    )


def dropped(rows: pl.DataFrame, minimum: int | None = None) -> dict[int, str]:
    _, gone = drop_rows(rows, chosen_rules({}), minimum)
    return {row: rule for row, rule in gone.select("row", "rule").iter_rows()}


def test_length_depends_on_the_script() -> None:
    rows = frame(("nine char", "a"), ("ten chars!", "a"), ("四个字好", "b"), ("三个字", "b"))
    assert dropped(rows) == {1: "text_too_short", 4: "text_too_short"}
    assert dropped(rows, minimum=3) == {}


def test_copies_after_normalisation_keep_the_first() -> None:
    rows = frame(("It is ＧＯＯＤ ，really", "a"), ("it is good ,really", "a"), ("It  is good,  really!", "a"))
    assert dropped(rows) == {2: "duplicate_exact"}


def test_all_rows_of_a_conflict_go() -> None:
    rows = frame(("the very same text", "a"), ("The very same text", "b"), ("another text here", "a"))
    assert dropped(rows) == {1: "label_conflict", 2: "label_conflict"}


def test_missing_empty_and_long() -> None:
    rows = frame((None, "a"), ("   ", "a"), ("a real text here", None), ("x" * (1024**2 + 1), "a"))
    found = dropped(rows)
    assert found[2] == "text_empty"
    assert found[3] == "fields_present"
    assert found[4] == "text_too_long"
    assert set(found) == {1, 2, 3, 4}


def test_a_leak_is_taken_from_train_and_kept_in_test() -> None:
    rows = frame(("the same long text", "a"), ("the same long text", "a"), part=["train", "test"])
    assert dropped(rows) == {1: "leak_across_splits"}


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


def test_keys_are_added_once() -> None:
    assert add_keys(frame(("Some Text", "a")))["key"].to_list() == ["some text"]
