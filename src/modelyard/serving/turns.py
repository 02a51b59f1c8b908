"""Which rows of those whose turn it is go together, as a pure function."""

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_ROWS = 64
"""Rows looked at when a batch is put together: enough for neighbours in length, few enough to sort every time."""


@dataclass(frozen=True)
class BatchLimits:
    """What one batch may hold.

    Attributes:
        rows: at most this many rows; 1 where an answer would depend on its companions.
        tokens: at most this many tokens, padding included; a single longer row is a batch of its own.
        overhead_tokens: what starting a batch costs, as the number of tokens computed in the same time: padding beyond
            it costs more than a batch of its own.
    """

    rows: int
    tokens: int
    overhead_tokens: int


def cut_batch(lengths: Sequence[int], limits: BatchLimits) -> list[int]:
    """Choose the batch that holds the first row: it and its neighbours in length.

    From the longest row down, rows are added until the batch is full or the padding wasted so far would pay for
    another batch. The first row is always in it, so that nobody waits for ever.

    Args:
        lengths: tokens of each waiting row, in the order of their turns; at least one.
        limits: of a batch.

    Returns:
        Places in `lengths`.
    """
    batch: list[int] = []
    wasted = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch:
            longest = lengths[batch[0]]
            padding = wasted + longest - lengths[place]
            rows = len(batch) + 1
            if rows > limits.rows or rows * longest > limits.tokens or padding > limits.overhead_tokens:
                if 0 in batch:
                    break
                batch, padding = [], 0
            wasted = padding
        batch.append(place)
    return batch
