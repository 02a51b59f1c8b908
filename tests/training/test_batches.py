"""Batches near a token budget: properties that hold for any lengths, and hand calculations."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.training.batches import Rows, _divide, cut, plan

lengths_of_rows = st.lists(st.integers(1, 60), max_size=200)
budgets = st.integers(16, 400)


@settings(max_examples=60, deadline=None)
@given(lengths_of_rows, budgets, st.integers(0, 2**31), st.integers(0, 50))
def test_every_row_once_near_the_budget_and_the_same_again(
    lengths: list[int], budget: int, seed: int, epoch: int
) -> None:
    batches = plan(lengths, tokens_per_batch=budget, seed=seed, epoch=epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        # a share is one and a half budgets at most, and a batch half a row more
        tokens = sum(lengths[index] for index in batch)
        assert len(batch) == 1 or tokens <= 1.5 * budget + max(lengths) / 2
    assert batches == plan(lengths, tokens_per_batch=budget, seed=seed, epoch=epoch)


def test_another_epoch_or_seed_is_another_order() -> None:
    lengths = [5 + index % 20 for index in range(300)]
    first = plan(lengths, tokens_per_batch=200, seed=7, epoch=0)
    assert first != plan(lengths, tokens_per_batch=200, seed=7, epoch=1)
    assert first != plan(lengths, tokens_per_batch=200, seed=8, epoch=0)
    # not only the order of the batches: other rows meet
    assert {frozenset(batch) for batch in first} != {
        frozenset(batch) for batch in plan(lengths, tokens_per_batch=200, seed=7, epoch=1)
    }


def test_the_batches_do_not_come_in_the_order_of_their_lengths() -> None:
    lengths = list(range(1, 401))
    longest = [max(lengths[i] for i in batch) for batch in plan(lengths, tokens_per_batch=1000, seed=0, epoch=0)]
    assert longest != sorted(longest)
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


def tokens_of(lengths: list[int], *, budget: int) -> list[int]:
    """Of each batch of rows that stay in their order."""
    batches = _divide(np.arange(len(lengths)), np.array(lengths), budget)
    assert [index for batch in batches for index in batch] == list(range(len(lengths)))
    return [sum(lengths[index] for index in batch) for batch in batches]


def test_no_batch_is_a_remainder() -> None:
    # nine rows of 3 in batches of 10: 27 tokens are 3 batches of 9
    assert sorted(len(batch) for batch in plan([3] * 9, tokens_per_batch=10, seed=0, epoch=0)) == [3, 3, 3]
    # six rows of 10 in batches of 26: 60 tokens are two batches of 30, where at most 26 would be three of 20
    assert [len(batch) for batch in plan([10] * 6, tokens_per_batch=26, seed=0, epoch=0, packs=True)] == [3, 3]
    # a share of 10, one of 8 of the 16 that are left, and the rest: borders at 10 and 20 would leave 1 for the second
    assert tokens_of([4, 10, 1, 10, 5], budget=10) == [14, 11, 5]


def test_by_rows_every_batch_has_as_many_and_neighbours_are_of_like_length() -> None:
    lengths = [5 + index % 40 for index in range(400)]  # 24.5 on average: 320 tokens are 13 rows, 31 batches
    batches = plan(lengths, tokens_per_batch=320, seed=7, epoch=0, by_rows=True)
    assert sorted(index for batch in batches for index in batch) == list(range(400))
    assert len(batches) == 31
    assert {len(batch) for batch in batches} == {12, 13}
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.2 * sum(lengths)  # at random 13 of them are 1.7 times as wide as they need be
    assert batches != plan(lengths, tokens_per_batch=320, seed=7, epoch=1, by_rows=True)


def test_a_row_of_several_budgets_stands_alone() -> None:
    for epoch in range(20):
        assert [0] in plan([40, *[2] * 10], tokens_per_batch=10, seed=0, epoch=epoch)
    assert tokens_of([2, 2, 2, 2, 2, 40, 2, 2, 2, 2, 2], budget=10) == [10, 40, 10]


def test_cut_by_hand() -> None:
    # 2 x 3 = 6 fits; a third row of 4 would make 12; 20 is longer than the budget and stands alone
    assert cut([0, 1, 2, 3, 4], [3, 2, 4, 20, 1], 7) == [[0, 1], [2], [3], [4]]


def test_rows_that_lie_side_by_side_are_shuffled_and_counted_by_their_tokens() -> None:
    assert cut([0, 1, 2, 3], [6, 1, 2, 9], 9, padded=False) == [[0, 1, 2], [3]]
    lengths = [5 + index % 20 for index in range(300)]
    batches = plan(lengths, tokens_per_batch=200, seed=7, epoch=0, packs=True)
    assert sorted(index for batch in batches for index in batch) == list(range(300))
    totals = [sum(lengths[index] for index in batch) for batch in batches]
    assert sum(totals) == 15 * 290  # 290 tokens in 20 rows, 15 times
    assert len(totals) == 22  # 21.75 budgets
    assert 197.7 - 24 < min(totals) < max(totals) < 197.7 + 24  # half a row of 24 more or less at either border
    assert batches != plan(lengths, tokens_per_batch=200, seed=7, epoch=1, packs=True)


def test_lengths_are_the_tokens_of_the_rows() -> None:
    assert Rows([[1, 2], [3]], ["a:1", "a:2"]).lengths == [2, 1]
