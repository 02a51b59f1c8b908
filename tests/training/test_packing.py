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
    laid = lay(ROWS, [2, 1, 0], [[0], [2, 1]])
    np.testing.assert_array_equal(laid.ids, [[1, 2, 3, 4, 5, 6], [5, 6, 7, 8, 9, 0]])
    np.testing.assert_array_equal(laid.positions, [[0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 0]])
    np.testing.assert_array_equal(laid.judged, [[0, 0, 1, 0, 1, 0], [1, 1, 0, 1, 0, 0]])
    np.testing.assert_array_equal(laid.targets, [4, 6, 6, 7, 9])
    np.testing.assert_array_equal(laid.owners, [0, 0, 2, 2, 1])


HIDDEN = 576


def test_short_rows_fill_one_line() -> None:
    assert [sorted(line) for line in fill((3, 2, 6, 1, 5), HIDDEN)] == [[0, 1, 2, 3, 4]]


def test_long_rows_stay_in_lines_of_their_own_where_attention_would_cost_more() -> None:
    # one line of 4,000 costs 4,000 x (3,456 + 4 x 4,000), four of 1,000 cost 4,000 x (3,456 + 4 x 1,000)
    assert sorted(map(sorted, fill((1000, 1000, 1000, 1000), HIDDEN))) == [[0], [1], [2], [3]]
    # and short ones beside them fill what is left
    lines = fill((1000, 900, 60, 40), HIDDEN)
    assert sorted(map(sorted, lines)) == [[0], [1, 2, 3]]


def cost(lengths: list[int], lines: list[list[int]]) -> int:
    width = max(sum(lengths[place] for place in line) for line in lines)
    return len(lines) * width * (6 * HIDDEN + 4 * width)


def test_padding_is_taken_where_narrow_lines_save_more_of_attention() -> None:
    # one line of 900 costs 900 x (3,456 + 4 x 900) = 6.35M, two of 500 cost 1,000 x (3,456 + 4 x 500) = 5.46M; were
    # attention as fast as the products with weights, 900 x 4,356 = 3.92M would beat 1,000 x 3,956 = 3.96M
    assert sorted(map(sorted, fill((500, 400), HIDDEN))) == [[0], [1]]


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60))
def test_every_row_once_and_never_dearer_than_alone(lengths: list[int]) -> None:
    lines = fill(tuple(lengths), HIDDEN)
    assert sorted(place for line in lines for place in line) == list(range(len(lengths)))
    assert cost(lengths, lines) <= cost(lengths, [[place] for place in range(len(lengths))])


def test_little_is_padding() -> None:
    """Rows of lengths as conversations have them, thirty and five at a time; alone about half would be."""
    lengths = np.random.default_rng(0).lognormal(4.0, 0.8, 200).clip(8, 512).astype(int).tolist()
    for count, most in ((30, 0.05), (5, 0.1)):
        parts = [lengths[start : start + count] for start in range(0, 200, count)]
        filled = [(part, fill(tuple(part), HIDDEN)) for part in parts]
        places = sum(len(lines) * max(sum(part[place] for place in line) for line in lines) for part, lines in filled)
        assert 1 - sum(lengths) / places < most
        assert 1 - sum(lengths) / sum(len(part) * max(part) for part in parts) > 0.45
