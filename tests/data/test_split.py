"""Splits: shares, strata, whole groups, and the same answer whatever the order of the rows."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.split import shares_of, split_groups, split_rows

SHARES = shares_of(0.15, 0.25)


def test_every_label_is_divided_by_the_shares() -> None:
    ids = [f"row {number}" for number in range(1000)]
    labels = ["a"] * 800 + ["b"] * 200
    found = Counter(zip(labels, split_rows(ids, labels, SHARES, 7), strict=True))
    assert found["a", "train"], found["a", "test"] == (480, 200)
    assert (found["b", "train"], found["b", "validation"], found["b", "test"]) == (120, 30, 50)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 200), st.integers(1, 6), st.integers(0, 5))
def test_order_does_not_matter_and_small_labels_stand_everywhere(rows: int, kinds: int, seed: int) -> None:
    ids = [f"id {number}" for number in range(rows)]
    labels = [f"label {number % kinds}" for number in range(rows)]
    found = dict(zip(ids, split_rows(ids, labels, SHARES, seed), strict=True))
    mixed = list(zip(ids, labels, strict=True))
    random.Random(1).shuffle(mixed)
    again = split_rows([ident for ident, _ in mixed], [label for _, label in mixed], SHARES, seed)
    assert found == dict(zip([ident for ident, _ in mixed], again, strict=True))
    for label, count in Counter(labels).items():
        if count >= 3:
            assert {found[i] for i, own in zip(ids, labels, strict=True) if own == label} == set(SHARES)


def test_groups_stay_whole_near_the_shares() -> None:
    choose = random.Random(0)
    groups = [f"group {choose.randint(0, 300)}" for _ in range(3000)]
    labels = [choose.choice("ab") for _ in groups]
    found = split_groups(groups, labels, SHARES, 7)
    homes: dict[str, set[str]] = {}
    for group, split in zip(groups, found, strict=True):
        homes.setdefault(group, set()).add(split)
    assert all(len(home) == 1 for home in homes.values())
    counts = Counter(found)
    assert abs(counts["test"] / 3000 - 0.25) < 0.01
    assert abs(counts["validation"] / 3000 - 0.15) < 0.01


def test_a_split_with_files_of_its_own_gets_no_rows() -> None:
    ids = [str(number) for number in range(50)]
    assert "test" not in split_rows(ids, ["a"] * 50, shares_of(0.2, 0.0), 0)


def test_many_small_labels_keep_the_totals() -> None:
    # 300 labels of 10 rows: rounding each alone to 6, 2 and 2 would give validation 20%
    ids = [f"id {number}" for number in range(3000)]
    placed = Counter(split_rows(ids, [f"label {number % 300}" for number in range(3000)], SHARES, 7))
    assert {name: round(count / 3000, 2) for name, count in placed.items()} == SHARES
