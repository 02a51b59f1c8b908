"""Which rows form a batch: planned from the lengths, the seed and the epoch alone, near a budget of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# transformers' LengthGroupedSampler sorts within 50 batches or a quarter of the rows, whichever is less: neighbours are
# of like length, and which rows meet still changes from epoch to epoch
WINDOW_BATCHES = 50
WINDOW_SHARE = 4


@dataclass(frozen=True)
class Rows:
    """Encoded rows of one split, in its fixed order.

    Attributes:
        ids: token ids of each row, special ones included.
        sources: where each row came from, `file:line`.
        labels: of a classifier: index of each row's label, shape (rows,); where rows may have several, 1 for each label
            that a row has and 0 for the others, shape (rows, labels).
        learned: of a language model: 1 for each token that it learns to give, 0 for those that it only reads.
    """

    ids: Sequence[Sequence[int]]
    sources: list[str]
    labels: NDArray[np.signedinteger] = field(default_factory=lambda: np.empty(0, np.int64))
    learned: Sequence[bytes] = ()

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row) for row in self.ids]

    @cached_property
    def weights(self) -> NDArray[np.int64]:
        """What each row counts in a mean loss: its label, or the tokens that are learned, shape (rows,)."""
        return np.array([row.count(1) for row in self.learned] or [1] * len(self.ids), dtype=np.int64)

    def weight(self, batch: Sequence[int]) -> int:
        """What some rows count together."""
        return sum(self.learned[index].count(1) for index in batch) if self.learned else len(batch)


def plan(
    lengths: Sequence[int], *, tokens_per_batch: int, seed: int, epoch: int, packs: bool = False, by_rows: bool = False
) -> list[list[int]]:
    """Batches of one epoch: every row once, about `tokens_per_batch` in each or, by rows, in a mean one.

    Shuffled, sorted by length within windows, divided, and the batches shuffled. The windows rise and fall by turns,
    so that the rows on both sides of a border are alike.

    Args:
        lengths: tokens of each row.
        tokens_per_batch: the budget, padding not counted.
        seed: of the project.
        epoch: from 0; each has an order of its own.
        packs: rows lie side by side: they are only shuffled; rows of unlike length fill lines better.
        by_rows: all batches have the same number of rows, not of tokens: where a row counts whatever its length.

    Returns:
        Indices of the rows of each batch, from short to long or from long to short.
    """
    if not lengths:
        return []
    sizes = np.asarray(lengths, dtype=np.int64)
    rows_per_batch = max(1.0, tokens_per_batch / sizes.mean())
    counted, budget = (np.ones_like(sizes), rows_per_batch) if by_rows else (sizes, float(tokens_per_batch))
    rng = np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(len(sizes))
    if packs:
        return _divide(shuffled, counted, budget)
    window = max(int(rows_per_batch), min(WINDOW_BATCHES * int(rows_per_batch), len(sizes) // WINDOW_SHARE))
    ordered: list[NDArray[np.int64]] = []
    for number, start in enumerate(range(0, len(sizes), window)):
        part = shuffled[start : start + window]
        rising = part[np.argsort(sizes[part], kind="stable")]
        ordered.append(rising if number % 2 == 0 else rising[::-1])
    batches = _divide(np.concatenate(ordered), counted, budget)
    return [batches[index] for index in rng.permutation(len(batches))]


def steps_per_epoch(total: float, budget: float) -> int:
    """How many steps come nearest to a budget each, of tokens or of rows."""
    return max(1, round(total / budget))


def _divide(order: NDArray[np.int64], counted: NDArray[np.int64], budget: float) -> list[list[int]]:
    """Rows, kept in their order, in as many batches as come nearest to the budget.

    Each has, as nearly as whole rows allow, an even share of what is left for it and those after it. Batches that never
    pass the budget would be half a row short of it on average, of three long rows a sixth, the last one a remainder.
    """
    left, batches = int(counted.sum()), list[list[int]]()
    taken, share = 0, 0.0
    for index, size in zip(order.tolist(), counted[order].tolist(), strict=True):
        if not batches or (share < left and taken + size - share > share - taken):
            left, taken = left - taken, 0
            share = left / steps_per_epoch(left, budget)
            batches.append([])
        batches[-1].append(index)
        taken += size
    return batches


def cut(order: Sequence[int], lengths: Sequence[int], budget: int, *, padded: bool = True) -> list[list[int]]:
    """Cut rows, kept in their order, into runs of which each has at most `budget` tokens.

    Args:
        order: indices of rows.
        lengths: tokens of each row there is.
        budget: a row longer than it stands alone.
        padded: whether padding counts: rows times the longest; else the rows' own tokens.
    """
    runs: list[list[int]] = []
    longest = total = 0
    for index in order:
        longest, total = max(longest, lengths[index]), total + lengths[index]
        if runs and ((len(runs[-1]) + 1) * longest if padded else total) <= budget:
            runs[-1].append(index)
        else:
            runs.append([index])
            longest = total = lengths[index]
    return runs
