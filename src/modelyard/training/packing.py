"""Rows laid side by side in lines of one width, so that little of it is padding and no row sees another.

Positions begin anew with every row. A model to which no attention mask is given takes that for the border of a text:
transformers' `create_causal_mask` lets no token look across it (masking_utils.py, packed sequences). What follows the
last row of a line is padding, each place a text of its own; no row looks at it, because all look backwards.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelyard.training.batches import Rows

LINES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 256)
SPARE = (1.0, 1.02, 1.05, 1.1)
# Attention's own operations take about four times as long as those of the products with weights: a layer of
# SmolLM2-135M forward and backward on a line of 396 tokens 12 ms beside 25, where the counts say 3 (torch 2.13, bf16,
# two cores)
ATTENTION = 4


class Laid(NamedTuple):
    """Rows as a model reads them, and which of its answers are judged.

    Attributes:
        ids: token ids, shape (lines, width).
        positions: of each token in its row, shape (lines, width).
        judged: where the next token of the row is one that is learned, shape (lines, width).
        targets: that next token at every such place, shape (judged,).
        owners: whose it is, as an index into the part, shape (judged,).
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    judged: NDArray[np.bool_]
    targets: NDArray[np.int64]
    owners: NDArray[np.int64]


def lay(rows: Rows, part: Sequence[int], lines: Sequence[Sequence[int]]) -> Laid:
    """The rows of a part in lines, as wide as the longest of these.

    Args:
        rows: of a language model.
        part: indices of some, at least one.
        lines: for each line the places in the part of its rows.
    """
    lengths = [len(rows.ids[index]) for index in part]
    shape = (len(lines), max(sum(lengths[place] for place in places) for places in lines))
    ids, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)  # nothing looks at padding: any token will do
    judged, following, owners = np.zeros(shape, np.bool_), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for line, places in enumerate(lines):
        start = 0
        for place in places:
            row, length = rows.ids[part[place]], lengths[place]
            end = start + length
            ids[line, start:end] = row
            positions[line, start:end] = np.arange(length)
            judged[line, start : end - 1] = np.frombuffer(rows.learned[part[place]], np.uint8)[1:] == 1
            following[line, start : end - 1] = row[1:]
            owners[line, start:end] = place
            start = end
    return Laid(ids, positions, judged, following[judged], owners[judged])


@lru_cache(maxsize=1_024)  # a part is laid when it is trained on and counted when its figures are told
def fill(lengths: tuple[int, ...], hidden_size: int) -> list[list[int]]:
    """Rows put into lines so that a forward pass costs least.

    For a token and layer the products with weights take about 24 h^2 operations at a hidden size h, attention's own 4 h
    for each place of its line, masked or not (Kaplan et al. 2020, section 2.1, both halved), each `ATTENTION` times as
    long. So wide lines waste little on padding and much on attention. Widths that hold the rows in one line, two, three
    and so on are tried, some with room to spare, the rows put each into the first line that has room, long ones first.

    Args:
        lengths: of the rows.
        hidden_size: of the model.

    Returns:
        For each line the places of its rows.
    """
    longest, total = max(lengths), sum(lengths)
    fewest = [count for count in LINES if count * longest <= total] or [1]
    widths = {max(longest, math.ceil(spare * total / count)) for count in fewest for spare in SPARE}
    tried = [_first_fit(lengths, width) for width in sorted({longest, *widths})]

    def cost(lines: list[list[int]]) -> int:
        width = max(sum(lengths[place] for place in line) for line in lines)
        return len(lines) * width * (6 * hidden_size + ATTENTION * width)

    return min(tried, key=cost)


def _first_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    lines: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        line = next((line for line, left in enumerate(room) if left >= lengths[place]), len(lines))
        if line == len(lines):
            lines.append([])
            room.append(width)
        lines[line].append(place)
        room[line] -= lengths[place]
    return lines
