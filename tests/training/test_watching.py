"""How a training gets on, by a clock of the test's own and sums by hand."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from modelyard.training.batches import Rows, cut, plan
from modelyard.training.classifier import Classifier
from modelyard.training.group import Group
from modelyard.training.language import Language
from modelyard.training.watching import FIRST_MINUTE, Watch, flops_per_token, padding_share, peak_flops

CLASSIFIER = Classifier(0, tokens_per_forward=10**9)


def rows_of(lengths: list[int]) -> Rows:
    return Rows([[1] * length for length in lengths], [""] * len(lengths))


def tiny() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=12,
        )
    )


@dataclass(frozen=True)
class Beside(Group):
    """The first of two processes; the other says always the same."""

    size: int = 2
    other: tuple[float, float] = (0, 0)

    def most(self, *values: float) -> list[float]:
        return [max(pair) for pair in zip(values, self.other, strict=True)]


def test_padding_share_by_hand() -> None:
    # padded to 2 x 5 + 1 x 2 = 12, filled with 5 + 3 + 2 = 10
    assert padding_share([[0, 1], [2]], rows_of([5, 3, 2]), CLASSIFIER) == pytest.approx(2 / 12)
    # in parts of at most 6 tokens: 5 alone, 3 and 2 together in 2 x 3
    assert padding_share([[0, 1, 2]], rows_of([5, 3, 2]), Classifier(0, tokens_per_forward=6)) == pytest.approx(1 / 11)
    assert padding_share([], rows_of([]), CLASSIFIER) == 0.0


def test_each_process_pads_its_own_rows() -> None:
    # of 5, 3 and 2 the first has 5 and 2, in 2 x 5; the other 3 alone: 10 of 13, where one process has 10 of 15
    assert padding_share([[0, 1, 2]], rows_of([5, 3, 2]), CLASSIFIER, 2) == pytest.approx(3 / 13)
    # of one row the other has none
    assert padding_share([[0]], rows_of([5, 3, 2]), CLASSIFIER, 2) == 0.0


def test_the_process_with_the_most_memory_and_the_slowest_data_is_told() -> None:
    watch = Watch(tiny(), rows_of([3]), CLASSIFIER, steps=1, group=Beside(other=(10**15, 0.25)))
    watch.begin(0)
    figures = watch.of_step(1, [0], seconds=1.0, data_seconds=0.125)
    assert (figures["peak_memory_bytes"], figures["data_seconds"]) == (10**15, 0.25)


def test_rows_side_by_side_pad_less() -> None:
    rows = Rows([[1] * length for length in (5, 3, 2)], ["", "", ""], learned=[b"\0\1\1\1\1", b"\0\1\1", b"\0\1"])
    side_by_side = Language(packs=True, tokens_per_forward=100, hidden_size=8)
    alone = Language(packs=False, tokens_per_forward=100, hidden_size=8)
    assert padding_share([[0, 1, 2]], rows, side_by_side) == 0.0  # two lines of 5
    assert padding_share([[0, 1, 2]], rows, alone) == pytest.approx(5 / 15)


def test_planned_batches_pad_far_less_than_random_ones() -> None:
    lengths = np.random.default_rng(0).geometric(1 / 25, size=4000).clip(3, 128).tolist()
    rows = rows_of(lengths)
    planned = padding_share(plan(lengths, tokens_per_batch=800, seed=0, epoch=0), rows, CLASSIFIER)
    order = np.random.default_rng(1).permutation(4000).tolist()
    shuffled = padding_share(cut(order, lengths, 800), rows, CLASSIFIER)
    assert planned < 0.06 < 0.4 < shuffled


def test_operations_of_a_token_by_hand() -> None:
    # four of 8 x 8, three of 8 x 12, the output layer of 50 x 8; no norm, no embedding
    assert flops_per_token(tiny()) == (6 * (4 * 64 + 3 * 96), 6 * 400)
    frozen = tiny().requires_grad_(False)
    assert flops_per_token(frozen) == (4 * (4 * 64 + 3 * 96), 4 * 400)


def test_utilisation_by_hand() -> None:
    rows = Rows([[1] * 10, [1] * 6], ["", ""], learned=[b"\0" * 6 + b"\1" * 4, b"\0" + b"\1" * 5])
    watch = Watch(
        tiny(), rows, Language(packs=True, tokens_per_forward=100, hidden_size=8), steps=1, group=Beside(), peak=5e5
    )
    watch.begin(0)
    figures = watch.of_step(1, [0, 1], seconds=0.5, data_seconds=0.001)
    assert figures["utilisation"] == pytest.approx(6 * (544 * 16 + 400 * 9) / 0.5 / 1e6, abs=1e-4)
    assert figures["padding_share"] == 0.0  # each in a line of its process
    assert figures["data_seconds"] == 0.001
    assert figures["peak_memory_bytes"] > 10**7


def test_the_time_left_is_told_once_after_a_minute_and_held_against_what_it_took() -> None:
    clock = itertools.count(0.0, 25.0)
    watch = Watch(tiny(), rows_of([3]), CLASSIFIER, steps=10, clock=lambda: next(clock))
    watch.begin(2)  # gone on from a checkpoint; 25 s a step
    said = [watch.of_step(step, [0], seconds=1.0, data_seconds=0.0).get("seconds_left") for step in range(3, 11)]
    assert said == [None, None, pytest.approx(5 * 25.0), None, None, None, None, None]
    assert 2 * 25.0 < FIRST_MINUTE <= 3 * 25.0
    assert watch.in_the_end(10) == {"took_seconds": 225.0, "predicted_seconds": 200.0}


def test_nothing_was_promised_to_a_training_that_stopped_early_or_was_short() -> None:
    clock = itertools.count(0.0, 70.0)
    watch = Watch(tiny(), rows_of([3]), CLASSIFIER, steps=10, clock=lambda: next(clock))
    watch.begin(0)
    assert "utilisation" not in watch.of_step(1, [0], seconds=1.0, data_seconds=0.0)
    assert set(watch.in_the_end(6)) == {"took_seconds"}


def test_the_peak_is_that_of_the_fastest_product(monkeypatch: pytest.MonkeyPatch) -> None:
    given, took = [], iter([0.0, 3.0, 3.0, 5.0, 5.0, 5.5, 6.0, 8.0, 8.0, 9.0])  # each product's start and end
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda one, other: given.append((one.shape, other.shape, one.dtype))
    )
    monkeypatch.setattr("modelyard.training.watching.time.perf_counter", lambda: next(took))
    flops = peak_flops(torch.device("cpu"), "bf16")
    (((rows, inner), (_, columns), kind),) = set(given)
    assert kind == torch.bfloat16
    assert flops == 2 * rows * inner * columns / 0.5  # a multiplication and an addition each; half a second
