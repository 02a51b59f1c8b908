"""Derived settings against hand calculations; every one gives its reason, and a set value is taken as it is."""

from typing import Any

import pytest

from modelyard.training import derive


def test_max_length_is_what_almost_all_rows_need() -> None:
    lengths = [10] * 998 + [41, 500]  # 999 of 1,000 rows need at most 41; the next multiple of 8 is 48
    assert derive.max_length_tokens(lengths, None, 512, 2048) == (
        48,
        "99.9% of the train rows need at most 41, rounded up to a multiple of 8",
    )


def test_max_length_ends_at_the_positions() -> None:
    value, reason = derive.max_length_tokens([900] * 10, None, 512, 2048)
    assert value == 512
    assert "positions" in reason
    assert "900" in reason


def test_max_length_ends_at_the_most_by_default_where_the_model_could_read_more() -> None:
    value, reason = derive.max_length_tokens([9000] * 10, None, 8192, 2048)
    assert (value, "9000" in reason) == (2048, True)
    assert derive.max_length_tokens([9000] * 10, 4096, 8192, 2048) == (4096, derive.SET)


def test_tokens_per_batch_is_32_mean_rows() -> None:
    assert derive.tokens_per_batch([20, 31], None, 31).value == 816  # 32 x 25.5
    assert derive.tokens_per_batch([1, 2], None, 300) == (300, "room for the longest row")


@pytest.mark.parametrize(
    ("parameters", "rows", "expected"),
    [(22_700_000, 32, 5e-5), (110_000_000, 32, 3e-5), (110_000_000, 128, 6e-5), (22_700_000, 8, 2.5e-5)],
)
def test_learning_rate_follows_size_and_root_of_the_batch(parameters: int, rows: Any, expected: Any) -> None:
    value, reason = derive.learning_rate(None, derive.ENCODERS, parameters=parameters, rows_per_step=rows)
    assert value == pytest.approx(expected)
    assert "2022" in reason


@pytest.mark.parametrize(("validation", "expected"), [(250, 2), (60, 4), (100, 4), (500, 1), (5000, 1)])
def test_evaluations_cost_a_fifth_at_most_and_there_is_one(validation: Any, expected: Any) -> None:
    # 1,000 train tokens; one evaluation costs a third of validation/train: 250 -> 8.3%, of which 20% holds two
    assert derive.evaluations_per_epoch(1000, validation).value == expected


def test_set_values_stand() -> None:
    assert derive.max_length_tokens([5], 128, 512, 2048) == (128, derive.SET)
    assert derive.tokens_per_batch([5], 64, 5) == (64, derive.SET)
    assert derive.learning_rate(0.01, derive.ENCODERS, parameters=1, rows_per_step=1) == (0.01, derive.SET)


def test_decoders_pass_three_times_at_most() -> None:
    assert derive.epochs(None, 6.0, derive.DECODERS).value == 3
    assert derive.learning_rate(None, derive.DECODERS, parameters=7_000_000_000, rows_per_step=64).value == 2e-5


def test_epochs_give_three_hundred_updates_within_twenty_passes() -> None:
    assert derive.epochs(None, 371.0, derive.ENCODERS).value == 1
    assert derive.epochs(None, 100.0, derive.ENCODERS).value == 3
    assert derive.epochs(None, 99.0, derive.ENCODERS).value == 4
    assert derive.epochs(None, 6.0, derive.ENCODERS).value == 20
    assert derive.epochs(2, 6.0, derive.ENCODERS) == (2, derive.SET)


def test_rates_from_new_weights_are_those_of_the_nearest_published_size() -> None:
    # GPT-3, table 2.1: 125M weights, 0.5M tokens a step, 6.0e-4; at 128 rows of 1,024 tokens a quarter of a step
    found = derive.from_scratch(derive.DECODERS, parameters=124_439_808, mean_tokens=1024.0)
    value, reason = derive.learning_rate(None, found, parameters=124_439_808, rows_per_step=128)
    assert value == pytest.approx(3e-4)
    assert "0.0006 at 512 rows" in reason
    assert "Brown et al. 2020, 524,288 tokens a step" in reason
    # on a log scale the border between 10.7M and 125M lies at 36.6M
    small, large = (
        derive.from_scratch(derive.ENCODERS, parameters=n, mean_tokens=64.0) for n in (36_000_000, 37_000_000)
    )
    assert (small.small_rate[:2], large.small_rate[:2]) == ((1e-3, 256), (6e-4, 8192))
    assert (small.most_epochs, found.most_epochs) == (20, 4)


def test_steps_of_pre_training_are_as_large_as_published_where_the_rows_allow() -> None:
    plan = derive.DECODERS.pretraining
    # 4 passes over 1,000 rows of 100 tokens are 400,000: 1,000 updates would have 400 each, 32 rows have 3,200
    assert derive.tokens_per_batch([100] * 1_000, None, 100, plan).value == 3_200
    value, reason = derive.tokens_per_batch([1_000] * 100_000, None, 1_000, plan)  # 4e8 over 1,000
    assert (value, "1000 updates are wanted of 400000000 tokens in 4 epochs" in reason) == (400_000, True)
    assert derive.tokens_per_batch([1_000] * 1_000_000, None, 1_000, plan).value == 524_288
    scratch = derive.from_scratch(derive.DECODERS, parameters=10_000_000, mean_tokens=100.0)
    assert derive.epochs(None, 250.0, scratch, plan).value == 4
    assert derive.epochs(None, 1_907.0, scratch, plan).value == 1
