"""Dividing rows into train, validation and test: the same rows and seed give the same splits, whatever their order."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelyard.artifacts.prepared import SPLITS

GREEDY_GROUPS = 200_000
"""Weighed one by one. Of more groups the smallest go by their hash alone: so many even out by themselves."""


@dataclass(frozen=True)
class SplitCount:
    """How many rows of each kind a split holds.

    Attributes:
        rows: of the split.
        labels: label -> rows; empty where rows have none.
        slices: slice column -> value -> rows.
    """

    rows: int
    labels: dict[str, int] = field(default_factory=dict)
    slices: dict[str, dict[str, int]] = field(default_factory=dict)


def place_in_order(seed: int, name: str) -> bytes:
    """Where a row or a group stands in the shuffled order: SHA-256 of seed and name."""
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()


def shares_of(validation: float, test: float) -> dict[str, float]:
    """Shares by split; a split with files of its own has share 0 and gets no rows."""
    return {"train": 1 - validation - test, "validation": validation, "test": test}


def quotas(counts: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, dict[str, int]]:
    """Rows of each label for each split: every label is divided by the same shares.

    Each label with at least as many rows as there are splits stands in all of them. What rounding leaves over is
    carried to the next label, so that the totals keep their shares with many small labels as well.

    Args:
        counts: label -> its rows.
        shares: share by split, summing to 1; splits of share 0 get no rows.
    """
    carry: dict[str, float] = dict.fromkeys(shares, 0.0)
    return {label: _quotas(counts[label], shares, carry) for label in sorted(counts)}


def split_groups(counts: Iterable[tuple[str, str, int]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Every group whole in one split, labels as even as the groups allow.

    Greedy: the largest group first (equal ones in the order of their hash), each to the split that lacks most of its
    labels, measured as the part still missing of what the split should have. That is the order in which first-fit
    packing does best; scikit-learn's StratifiedGroupKFold goes the same way.

    Args:
        counts: group, label, rows of that label in the group.
        shares: share by split, summing to 1; splits of share 0 get no rows.
        seed: another seed, another division.

    Returns:
        Group -> split.
    """
    totals: Counter[str] = Counter()
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for group, label, rows in counts:
        groups[group][label] += rows
        totals[label] += rows
    wanted = {split: {label: share * totals[label] for label in totals} for split, share in shares.items() if share > 0}
    placed: dict[str, Counter[str]] = {split: Counter() for split in wanted}
    home: dict[str, str] = {}
    order = sorted(groups, key=lambda group: (-groups[group].total(), place_in_order(seed, group)))
    for group in order:
        home[group] = max(wanted, key=lambda split: _lack(groups[group], wanted[split], placed[split]))
        placed[home[group]].update(groups[group])
    return home


def _lack(group: Counter[str], wanted: Mapping[str, float], placed: Counter[str]) -> tuple[float, float]:
    """How much a split lacks the labels of a group, weighted by its rows; then how much it wants at all."""
    part = sum(rows * (1 - placed[label] / wanted[label]) for label, rows in group.items())
    return round(part, 9), sum(wanted[label] for label in group)


def _quotas(count: int, shares: Mapping[str, float], carry: dict[str, float]) -> dict[str, int]:
    """Rows of one label for each split; updates what is carried over."""
    open_splits: list[str] = [split for split in SPLITS if shares.get(split, 0) > 0]
    exact = {split: count * shares[split] + carry[split] for split in open_splits}
    quotas: dict[str, int] = {split: max(0, int(exact[split])) for split in open_splits}
    by_rest = sorted(open_splits, key=lambda split: quotas[split] - exact[split])
    for position in range(count - sum(quotas.values())):
        quotas[by_rest[position % len(by_rest)]] += 1
    while sum(quotas.values()) > count:
        taken = [split for split in open_splits if quotas[split]]
        quotas[max(taken, key=lambda split: quotas[split] - exact[split])] -= 1
    if count >= len(open_splits):
        for split in open_splits:
            if quotas[split] == 0:
                quotas[max(quotas, key=lambda split: quotas[split])] -= 1
                quotas[split] = 1
    for split in open_splits:
        carry[split] = exact[split] - quotas[split]
    return quotas
