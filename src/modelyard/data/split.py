"""Splits: stratified by label, whole groups, from the rows and the seed alone."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from modelyard.artifacts.prepared import Split


def assign(
    keys: Sequence[str], labels: Sequence[str], groups: Sequence[str | None], shares: dict[Split, float], seed: int
) -> list[Split]:
    """The split of every row.

    Rows are taken in the order of a keyed hash of what they are, so the answer depends neither on the order of the
    files nor on what other rows there are beyond their number. Rows of one group go together.

    Args:
        keys: shape (rows,), what a row is: distinct texts.
        labels: shape (rows,).
        groups: shape (rows,), None for a row that belongs to none.
        shares: split -> share of the rows, summing to 1.
        seed: of the hash.
    """
    units: dict[str, list[int]] = {}
    for index, (key, group) in enumerate(zip(keys, groups, strict=True)):
        units.setdefault(f"row:{key}" if group is None else f"group:{group}", []).append(index)
    order = sorted(units, key=lambda unit: hashlib.sha256(f"{seed}:{unit}".encode()).digest())
    found: list[Split] = [next(iter(shares))] * len(keys)
    single = [units[unit][0] for unit in order if len(units[unit]) == 1]
    several = sorted((units[unit] for unit in order if len(units[unit]) > 1), key=len, reverse=True)
    total = Counter(labels)
    have: dict[Split, Counter[str]] = {split: Counter() for split in shares}
    for rows in several:
        counts = Counter(labels[row] for row in rows)
        target = max(shares, key=lambda split: _lack(counts, total, have[split], shares[split]))
        have[target] += counts
        for row in rows:
            found[row] = target
    # the single rows fill up what the groups left, label by label
    for label, members in groupby(sorted(single, key=lambda row: labels[row]), key=lambda row: labels[row]):
        rows = list(members)
        for target, count in _fill(total[label], {split: have[split][label] for split in shares}, shares, len(rows)):
            for row in rows[:count]:
                found[row] = target
            rows = rows[count:]
    return found


def _lack(counts: Counter[str], total: Counter[str], have: Counter[str], share: float) -> float:
    """How much of what it still lacks a split would get, summed over the labels of a group, relative to its size."""
    return sum(count * (share * total[label] - have[label]) / (share * total[label]) for label, count in counts.items())


def _fill(total: int, have: dict[Split, int], shares: dict[Split, float], free: int) -> list[tuple[Split, int]]:
    """How many of a label's free rows each split gets: to its share of the label, by the largest remainder."""
    wanted = {split: max(0.0, share * total - have[split]) for split, share in shares.items()}
    scale = free / sum(wanted.values()) if sum(wanted.values()) else 0.0
    exact = {split: value * scale for split, value in wanted.items()}
    counts = {split: int(value) for split, value in exact.items()}
    rest = free - sum(counts.values())
    for split in sorted(shares, key=lambda name: exact[name] - counts[name], reverse=True)[:rest]:
        counts[split] += 1
    return list(counts.items())
