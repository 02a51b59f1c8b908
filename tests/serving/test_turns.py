"""Batches whose best cut can be counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.serving.turns import BatchLimits, cut_batch

WIDE = BatchLimits(rows=32, tokens=10_000, overhead_tokens=10_000)


def test_everything_that_fits_goes_together() -> None:
    assert sorted(cut_batch([5, 9, 7], WIDE)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("lengths", "limits", "batch"),
    [
        # two rows at most: the longest two are 9 and 8; the first row, 5, goes with its neighbour 6
        ([5, 9, 6, 8], BatchLimits(2, 10_000, 10_000), [0, 2]),
        # 20 tokens at most: 9 and 8 are padded to 18; 6 and 5 to 12
        ([5, 9, 6, 8], BatchLimits(32, 20, 10_000), [0, 2]),
        # 6 beside 9 wastes 3, which starting anew costs; 5 would waste 4 more
        ([5, 9, 6], BatchLimits(32, 10_000, 3), [0]),
        # 9 - 6 = 3 pays, 9 - 6 and 9 - 5 together do not
        ([9, 5, 6], BatchLimits(32, 10_000, 3), [0, 2]),
        # longer than a batch may be: alone
        ([50, 9, 9], BatchLimits(32, 20, 10_000), [0]),
        # rows that must be answered alone
        ([5, 5, 5], BatchLimits(1, 10_000, 10_000), [0]),
    ],
)
def test_the_first_row_with_its_neighbours_in_length(lengths: list[int], limits: BatchLimits, batch: list[int]) -> None:
    assert sorted(cut_batch(lengths, limits)) == batch


@given(
    st.lists(st.integers(1, 512), min_size=1, max_size=64),
    st.builds(BatchLimits, st.integers(1, 32), st.integers(1, 4096), st.integers(1, 200)),
)
def test_every_batch_keeps_the_limits_and_holds_the_first_row(lengths: list[int], limits: BatchLimits) -> None:
    batch = cut_batch(lengths, limits)
    assert 0 in batch
    assert len(batch) == len(set(batch)) <= limits.rows
    longest = max(lengths[place] for place in batch)
    assert len(batch) == 1 or len(batch) * longest <= limits.tokens
    assert sum(longest - lengths[place] for place in batch) <= limits.overhead_tokens
