"""Splits: shares, strata, whole groups."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.split import quotas, shares_of, split_groups

SHARES = shares_of(0.15, 0.25)


def test_every_label_is_divided_by_the_shares() -> None:
    assert quotas({"a": 800, "b": 200}, SHARES) == {
        "a": {"train": 480, "validation": 120, "test": 200},
        "b": {"train": 120, "validation": 30, "test": 50},
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_small_labels_stand_everywhere_and_no_row_is_lost(sizes: list[int]) -> None:
    counts = {f"label {number}": size for number, size in enumerate(sizes)}
    found = quotas(counts, SHARES)
    assert {label: sum(part.values()) for label, part in found.items()} == counts
    assert all(min(found[label].values()) >= 1 for label, size in counts.items() if size >= 3)


def test_groups_stay_whole_near_the_shares() -> None:
    choose = random.Random(0)
    counts = Counter((f"group {choose.randint(0, 300)}", choose.choice("ab")) for _ in range(3000))
    found = split_groups([(group, label, rows) for (group, label), rows in counts.items()], SHARES, 7)
    rows: Counter[str] = Counter()
    for (group, _), count in counts.items():
        rows[found[group]] += count
    assert abs(rows["test"] / 3000 - 0.25) < 0.01
    assert abs(rows["validation"] / 3000 - 0.15) < 0.01


def test_a_split_with_files_of_its_own_gets_no_rows() -> None:
    assert quotas({"a": 50}, shares_of(0.2, 0.0)) == {"a": {"train": 40, "validation": 10}}


def test_many_small_labels_keep_the_totals() -> None:
    # 300 labels of 10 rows: rounding each alone to 6, 2 and 2 would give validation 20%
    totals: Counter[str] = Counter()
    for part in quotas({f"label {number:03}": 10 for number in range(300)}, SHARES).values():
        totals.update(part)
    assert {name: round(count / 3000, 2) for name, count in totals.items()} == SHARES
