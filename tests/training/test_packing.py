"""Rows laid in lines, by hand: ids, positions, what is judged and whose it is; lines are few."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelyard.training.batches import Rows
from modelyard.training.packing import LINE, fill, lay

ROWS = Rows(
    [[5, 6, 7], [8, 9], [1, 2, 3, 4, 5, 6]],
    ["a:1", "a:2", "a:3"],
    learned=[b"\0\1\1", b"\0\1", b"\0\0\0\1\0\1"],
)


def test_two_rows_side_by_side_by_hand() -> None:
    laid = lay(ROWS, [2, 1, 0], [[0], [2, 1]], pad_id=0)
    np.testing.assert_array_equal(laid.ids, [[1, 2, 3, 4, 5, 6], [5, 6, 7, 8, 9, 0]])
    np.testing.assert_array_equal(laid.positions, [[0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 0]])
    np.testing.assert_array_equal(laid.judged, [[0, 0, 1, 0, 1, 0], [1, 1, 0, 1, 0, 0]])
    np.testing.assert_array_equal(laid.targets, [4, 6, 6, 7, 9])
    np.testing.assert_array_equal(laid.owners, [0, 0, 2, 2, 1])


def test_short_rows_fill_one_line() -> None:
    assert [sorted(line) for line in fill([3, 2, 6, 1, 5])] == [[0, 1, 2, 3, 4]]


def test_lines_are_as_wide_as_a_long_row_and_filled_up() -> None:
    lines = fill([300, 100, 100, 100, 250, 50])
    assert sorted(sorted(line) for line in lines) == [[0], [1, 2, 3], [4, 5]]


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60))
def test_every_row_once_and_no_line_too_long(lengths: list[int]) -> None:
    lines = fill(lengths)
    assert sorted(place for line in lines for place in line) == list(range(len(lengths)))
    sums = [sum(lengths[place] for place in line) for line in lines]
    assert max(sums) <= max(LINE, *lengths)
    assert len(lines) * max(sums) <= len(lengths) * max(lengths)  # never more than without laying side by side


def test_little_is_padding() -> None:
    """Two hundred rows of lengths as conversations have them, thirty at a time."""
    lengths = np.random.default_rng(0).lognormal(4.0, 0.8, 200).clip(8, 512).astype(int).tolist()
    places = 0
    for start in range(0, 200, 30):
        part = lengths[start : start + 30]
        lines = fill(part)
        places += len(lines) * max(sum(part[place] for place in line) for line in lines)
    alone = sum(len(part) * max(part) for part in (lengths[start : start + 30] for start in range(0, 200, 30)))
    assert 1 - sum(lengths) / places < 0.06 < 0.5 < 1 - sum(lengths) / alone
