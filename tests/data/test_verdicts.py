import pytest

from modelyard.data import verdicts
from modelyard.data.rules import chosen_rules
from modelyard.data.split import SplitCount
from modelyard.project.data import RuleSection
from modelyard.project.gates import GatesSection

RULES = chosen_rules({})


def split(**counts: int) -> SplitCount:
    return SplitCount(sum(counts.values()), counts)


@pytest.mark.parametrize(("rows", "outcome"), [(381, "PASS"), (380, "INCONCLUSIVE")])
def test_the_test_split_at_the_edge(rows: int, outcome: str) -> None:
    # z^2 (1 - d) / d with z = 1.959964 and d = 0.01 is 380.3
    (verdict, *_) = verdicts.of_sizes(RULES, split(a=rows), {}, GatesSection(), 0.25)
    assert (verdict.scope, verdict.outcome, verdict.severity) == ("overall", outcome, "warning")
    if outcome != "PASS":
        assert verdict.samples_needed == 381
        assert "add 1 to the test split (about 4 to the set), or raise gates.drop_max" in verdict.next_step


def test_small_classes_and_slices_are_named() -> None:
    # 3.841459 * 0.97 / 0.03 is 124.2
    test = SplitCount(649, {"a": 400, "b": 124, "c": 125}, {"site": {"film": 649}})
    found = verdicts.of_sizes(RULES, test, {"site": ["film", "phone"]}, GatesSection(), 0.25)
    assert [(one.scope, one.outcome) for one in found] == [
        ("overall", "PASS"),
        ("class:b", "INCONCLUSIVE"),
        ("slice:site=phone", "INCONCLUSIVE"),
    ]
    assert [one.samples_needed for one in found[1:]] == [125, 125]


def test_many_small_ones_are_counted() -> None:
    found = verdicts.of_sizes(RULES, split(**{f"l{n:02}": 1 for n in range(30)}), {}, GatesSection(), 0.25)
    assert len(found) == 1 + 20 + 1
    assert found[-1].next_step == "10 more classes are too small: join them into fewer"


def test_sizes_may_be_off() -> None:
    rules = chosen_rules({"slice_too_small": RuleSection(severity="off")})
    assert verdicts.of_sizes(rules, split(a=1), {}, GatesSection(), 0.25) == []


def test_a_label_that_a_split_lacks_is_named() -> None:
    splits = {"train": split(a=50, b=2), "validation": split(a=10), "test": split(a=20, b=1)}
    found = {one.rule: one for one in verdicts.of_labels(RULES, splits)}
    assert found["label_in_every_split"].outcome == "FAIL"
    assert "'b' (3 rows) is missing from validation" in found["label_in_every_split"].next_step
    assert found["label_balance"].outcome == "PASS"  # 3 of 83
    assert found["label_count"].outcome == "PASS"


def test_no_rows_say_nothing_about_labels() -> None:
    assert verdicts.of_labels(RULES, {"train": split()}) == []


def test_labels_spelt_alike() -> None:
    splits = {"train": SplitCount(4, {"Good": 1, "good ": 1, "ＧＯＯＤ": 1, "bad": 1})}
    found = {one.rule: one for one in verdicts.of_labels(RULES, splits)}
    assert found["label_spelling"].outcome == "FAIL"
    assert found["label_spelling"].interval is not None
    assert found["label_spelling"].interval.estimate == 3


@pytest.mark.parametrize(("dropped", "outcome"), [(5, "PASS"), (6, "FAIL")])
def test_a_budget_is_a_share_of_all_rows(dropped: int, outcome: str) -> None:
    found = {one.rule: one for one in verdicts.of_rows(RULES, {"text_empty": dropped}, 100, {"train": split(a=90)})}
    assert found["text_empty"].outcome == outcome
    assert "slice_too_small" not in found
    assert found["not_empty"].outcome == "PASS"


def test_an_empty_split_fails_by_name() -> None:
    splits = {"train": split(a=3), "validation": split(), "test": split(a=1)}
    found = [one for one in verdicts.of_rows(RULES, {}, 4, splits) if one.rule == "not_empty"]
    assert [(one.scope, one.outcome) for one in found] == [("overall", "PASS"), ("split:validation", "FAIL")]
    none_left = verdicts.of_rows(RULES, {}, 4, {name: split() for name in splits})
    assert [(one.scope, one.outcome) for one in none_left if one.rule == "not_empty"] == [("overall", "FAIL")]


def test_a_test_split_of_its_own_files_is_not_a_share_of_the_set() -> None:
    (verdict, *_) = verdicts.of_sizes(RULES, split(a=380), {}, GatesSection(), None)
    assert "add 1 to the test files, or raise gates.drop_max" in verdict.next_step
