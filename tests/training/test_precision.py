"""The choice of precision: from invented times, on a clock that a test moves, and once in earnest."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from modelyard.errors import InputError, Problem
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier
from modelyard.training.derive import SET
from modelyard.training.memory import kept_bytes
from modelyard.training.precision import (
    LEAST_STEPS,
    NO_ROOM,
    candidates,
    check_precision,
    choose_precision,
    pick,
    time_in_turns,
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"fp32": [1.0, 1.0, 9.0], "bf16": [0.6, 0.6, 0.6]}, "bf16"),
        ({"fp32": [1.0, 1.0, 1.0], "bf16": [0.95, 0.95, 0.95]}, "fp32"),  # faster, not clearly
        ({"fp32": [1.0, 1.0, 1.0], "bf16": [1.5, 1.5, 1.5]}, "fp32"),
        ({"fp32": [3.0], "bf16": [2.0], "fp16": [1.0]}, "fp16"),
    ],
)
def test_pick_keeps_fp32_unless_another_is_clearly_faster(seconds: dict[str, list[float]], expected: Any) -> None:
    assert pick(seconds) == expected


def test_time_in_turns_interleaves_and_leaves_the_first_round_out() -> None:
    now, order = [0.0], []

    def work(name: Any, cost: float) -> Callable[[], None]:
        def run() -> Any:
            order.append(name)
            now[0] += cost * (100 if len(order) <= 2 else 1)  # the first round is slow

        return run

    told = []
    seconds, failed = time_in_turns(
        {"fp32": work("fp32", 2.0), "bf16": work("bf16", 1.0)},
        rounds=3,
        clock=lambda: now[0],
        progress=lambda what, done, total: told.append((done, total)),
    )
    assert order == ["fp32", "bf16"] * 4
    assert seconds == {"fp32": [2.0] * 3, "bf16": [1.0] * 3}
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert failed == {}


def test_what_fails_in_any_round_is_timed_no_further() -> None:
    called = []

    def work() -> None:
        called.append("bf16")
        if len(called) == 3:
            raise InputError(Problem("the loss is nan", "take another"))

    seconds, failed = time_in_turns({"bf16": work, "fp32": lambda: None}, rounds=5, clock=lambda: 0.0)
    assert {name: len(times) for name, times in seconds.items()} == {"fp32": 5}
    assert [str(error) for error in failed.values()] == ["the loss is nan. Next: take another."]
    assert len(called) == 3


def test_what_takes_many_times_as_long_is_not_done_again() -> None:
    now, calls = [0.0], []

    def work(name: str, *costs: float) -> Callable[[], None]:
        def run() -> None:
            calls.append(name)
            now[0] += costs[min(calls.count(name), len(costs)) - 1]

        return run

    # bf16 emulated: 20 times as slow from the start; fp16 only once it is warm
    every = {"fp32": work("fp32", 1.0), "bf16": work("bf16", 20.0), "fp16": work("fp16", 1.0, 6.0)}
    seconds, failed = time_in_turns(every, rounds=3, clock=lambda: now[0])
    assert seconds == {"fp32": [1.0] * 3, "bf16": [20.0], "fp16": [6.0]}
    assert (calls.count("bf16"), calls.count("fp16"), failed) == (1, 2, {})
    assert pick(seconds) == "fp32"


def test_candidates_of_a_cpu() -> None:
    assert candidates(torch.device("cpu")) == ["fp32", "bf16"]


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, ["fp32", "bf16", "fp16"]), (False, ["fp32", "fp16"])])
def test_candidates_of_a_gpu(monkeypatch: pytest.MonkeyPatch, has_bf16: bool, expected: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    assert candidates(torch.device("cuda")) == expected


def test_fp16_needs_a_gpu() -> None:
    check_precision("fp16", torch.device("cuda"))
    check_precision("bf16", torch.device("cpu"))
    with pytest.raises(InputError, match="fp16, which needs a CUDA GPU"):
        check_precision("fp16", torch.device("cpu"))


def test_a_set_precision_and_a_short_training_are_not_timed(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    model = make_model()
    assert choose_precision(model, train_rows, [[0]], Classifier(0), wanted="bf16") == ("bf16", SET, {})
    chosen, reason, seconds = choose_precision(
        model, train_rows, [[0]] * (LEAST_STEPS - 1), Classifier(0), wanted="auto"
    )
    assert (chosen, seconds) == ("fp32", {})
    assert "too few" in reason


@pytest.mark.parametrize("winner", ["fp32", "bf16"])
def test_auto_times_whole_steps_and_leaves_the_model_alone(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows, monkeypatch: pytest.MonkeyPatch, winner: str
) -> None:
    monkeypatch.setattr("modelyard.training.precision.pick", lambda seconds: winner)
    model = make_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    chosen, reason, seconds = choose_precision(
        model, train_rows, [[0, 1], [2, 3, 4]] * LEAST_STEPS, Classifier(0), wanted="auto"
    )
    assert chosen == winner
    counts = {name: len(times) for name, times in seconds.items()}
    assert counts.keys() == {"fp32", "bf16"}
    assert max(counts.values()) == 5  # a CPU that emulates bf16 takes so long that it is timed once
    assert min(counts.values()) >= 1
    assert min(map(min, seconds.values())) > 0
    assert not re.search(r"\d", re.sub("fp32|bf16", "", reason))  # a time would be another one on every run
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(("share", "timed"), [(1.0, False), (4.0, True)])
def test_without_room_for_copies_and_a_step_nothing_is_timed(
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    timed: bool,
) -> None:
    """A CPU has room for the copies in both formats within 80% and for a step of 40 rows, or for the copies alone."""
    model, batch = make_model(), list(range(40))
    copies = 2 * 16 * sum(weight.numel() for weight in model.parameters())
    activations = kept_bytes(model.train(), train_rows, Classifier(0), batch).total
    monkeypatch.setattr(
        "modelyard.training.precision.free_bytes", lambda device: (copies + (share - 1) * activations) / 0.8 + 1
    )
    monkeypatch.setattr("modelyard.training.precision.take_step", lambda *given, **options: None)
    chosen, reason, seconds = choose_precision(model, train_rows, [batch] * LEAST_STEPS, Classifier(0), wanted="auto")
    assert (bool(seconds), reason == NO_ROOM) == (timed, not timed)
    assert timed or chosen == "fp32"


def test_a_gpu_without_room_for_the_trial_trains_in_fp32(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("modelyard.training.precision.take_step", full)
    found = choose_precision(make_model(), train_rows, [[0]] * LEAST_STEPS, Classifier(0), wanted="auto")
    assert found == ("fp32", NO_ROOM, {})


def autocast_overflows(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    """As where an activation is too large for the format; under autocast alone a matrix product is not fp32."""
    return output if output.dtype == torch.float32 else output * torch.inf


def test_a_format_whose_loss_is_no_number_is_left_out_with_the_reason(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    model = make_model()
    model.classifier.register_forward_hook(autocast_overflows)
    chosen, reason, seconds = choose_precision(model, train_rows, [[0, 1]] * LEAST_STEPS, Classifier(0), wanted="auto")
    assert (chosen, list(seconds)) == ("fp32", ["fp32"])
    assert reason.startswith(
        "the only format in which a step can be taken; bf16 is left out: the loss is nan at step 0"
    )


def test_the_reason_tells_the_slower_formats_from_those_left_out(
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed = {"fp16": InputError(Problem("the loss is inf", "take another"))}
    timed = ({"fp32": [2.0, 2.5, 9.0], "bf16": [0.0126]}, failed)
    monkeypatch.setattr("modelyard.training.precision.time_in_turns", lambda work, **options: timed)
    with caplog.at_level(logging.INFO, "modelyard"):
        chosen, reason, _ = choose_precision(
            make_model(), train_rows, [[0]] * LEAST_STEPS, Classifier(0), wanted="auto"
        )
    assert chosen == "bf16"
    # the times are told, but no report holds them: that of an equal training is equal
    assert caplog.messages == ["a step takes fp32 2,500.0 ms, bf16 12.6 ms (medians): bf16 is used"]
    assert reason == (
        "clearly faster on this machine than fp32, timed on this model and these rows; "
        "fp16 is left out: the loss is inf"
    )


def test_a_loss_that_is_no_number_in_fp32_ends_the_training(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    model = make_model()
    with torch.no_grad():
        model.classifier.weight.fill_(torch.nan)
    with pytest.raises(InputError, match="the loss is nan at step 0"):
        choose_precision(model, train_rows, [[0, 1]] * LEAST_STEPS, Classifier(0), wanted="auto")
