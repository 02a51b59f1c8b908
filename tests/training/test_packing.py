"""Rows laid in lines, by hand: ids, positions, what is judged and whose it is; lines are few."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelyard.training.batches import Rows
from modelyard.training.packing import fill, lay

ROWS = Rows(
    [[5, 6, 7], [8, 9], [1, 2, 3, 4, 5, 6]],
    ["a:1", "a:2", "a:3"],
    learned=[b"\0\1\1", b"\0\1", b"\0\0\0\1\0\1"],
)


def test_two_rows_side_by_side_by_hand() -> None:
    laid = lay(ROWS, [2, 1, 0], [[0], [2, 1]], pad_id=0)
    np.testing.assert_array_equal(laid.ids, [[1, 2, 3, 4, 5, 6], [5, 6, 7, 8, 9, 0]])
    np.testing.assert_array_equal(laid.positions, [[0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2]])
    np.testing.assert_array_equal(laid.judged, [[0, 0, 1, 0, 1, 0], [1, 1, 0, 1, 0, 0]])
    np.testing.assert_array_equal(laid.targets, [4, 6, 6, 7, 9])
    np.testing.assert_array_equal(laid.owners, [0, 0, 2, 2, 1])


def test_long_rows_first_and_each_where_there_is_room() -> None:
    assert fill([3, 2, 6, 1, 5]) == [[2], [4, 3], [0, 1]]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_every_row_once_and_no_line_too_long(lengths: list[int]) -> None:
    lines = fill(lengths)
    assert sorted(place for line in lines for place in line) == list(range(len(lengths)))
    assert max(sum(lengths[place] for place in line) for line in lines) == max(lengths)
    half_empty = [line for line in lines if 2 * sum(lengths[place] for place in line) <= max(lengths)]
    assert len(half_empty) <= 1  # two of them would have been one
