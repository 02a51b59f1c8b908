"""When a training is saved, by a clock of the test's own; signals noted; the loop killed and resumed, bit for bit."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from modelyard.errors import NotFinite, Stopped
from modelyard.training.batches import Rows
from modelyard.training.checkpoint_folder import newest, saved_steps
from modelyard.training.checkpoint_state import About
from modelyard.training.classifier import Classifier
from modelyard.training.derive import Derived
from modelyard.training.loop import Fitted, Scheduled, fit, schedule
from modelyard.training.saving import Saver, noting_signals

ABOUT = About({"seed": 3}, "fp32", "set", Derived(8_192, "default"))


class Clock:
    """Moves on by so many seconds whenever it is looked at."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.fixture(scope="module")
def steps(train_rows: Rows) -> list[Scheduled]:
    return list(
        schedule(
            train_rows.lengths,
            epochs=3,
            tokens_per_batch=300,
            learning_rate=3e-3,
            evaluations_per_epoch=2,
            seed=3,
        )
    )


def run(
    folder: Path,
    model: PreTrainedModel,
    train: Rows,
    validation: Rows,
    steps: list[Scheduled],
    lines: list[Any],
    **options: Any,
) -> Fitted:
    saver = Saver(folder, ABOUT, newest(folder, ABOUT.training), lines.append, **options)
    return fit(
        model, train, validation, Classifier(0), steps, precision="fp32", seed=3, record=lines.append, saver=saver
    )


def figures(lines: list[Any]) -> list[Any]:
    return [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in lines if "step" in line]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_a_training_that_was_stopped_at_any_step_ends_as_if_it_had_not_been(
    tmp_path: Path,
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    steps: list[Scheduled],
    share: float,
) -> None:
    """Dropout is on: the generators' states are part of what comes back."""
    whole_model, whole_lines = make_model(), []
    whole = run(tmp_path / "whole", whole_model, train_rows, validation_rows, steps, whole_lines)
    at = max(1, round(share * len(steps)))
    lines: list[Any] = []

    def asked() -> int:
        return signal.SIGTERM if figures(lines) and lines[-1].get("step") == at else 0

    with pytest.raises(Stopped) as caught:
        run(tmp_path / "cut", make_model(), train_rows, validation_rows, steps, lines, asked=asked)
    assert caught.value.exit_status == 143
    assert f"stopped by SIGTERM after step {at}, which is saved in cut" in str(caught.value)
    assert saved_steps(tmp_path / "cut") == [at]

    torch.manual_seed(1234)
    model, again = make_model(), []
    resumed = run(tmp_path / "cut", model, train_rows, validation_rows, steps, again)
    assert again[0] == {"resumed_after_step": at}
    assert figures(lines) + figures(again) == figures(whole_lines)
    assert (resumed.history, resumed.best_step) == (whole.history, whole.best_step)
    np.testing.assert_array_equal(resumed.outputs, whole.outputs)
    for name, weight in whole_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


def test_a_signal_within_an_evaluation_saves_and_the_evaluation_is_done_again(
    tmp_path: Path,
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    steps: list[Scheduled],
) -> None:
    first = next(now.step for now in steps if now.evaluate)
    lines: list[Any] = []
    looks = 0

    def asked() -> int:  # once after each step, and within the evaluation, which comes after `first` of them
        nonlocal looks
        looks += 1
        return signal.SIGINT if looks > first else 0

    with pytest.raises(Stopped) as caught:
        run(tmp_path, make_model(), train_rows, validation_rows, steps, lines, asked=asked)
    assert caught.value.exit_status == 130
    assert saved_steps(tmp_path) == [first]
    assert not any("validation_loss" in line for line in lines)
    again: list[Any] = []
    run(tmp_path, make_model(), train_rows, validation_rows, steps, again)
    assert again[1]["step"] == first and "validation_loss" in again[1]


@pytest.mark.parametrize(("seconds", "saved"), [(29.0, False), (31.0, True)])
def test_the_last_step_is_saved_where_that_is_worth_a_first_save(
    tmp_path: Path,
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    steps: list[Scheduled],
    seconds: float,
    saved: bool,
) -> None:
    """What follows, as writing answers, takes minutes and saves nothing."""
    lines: list[Any] = []
    clock = Clock(0.0)

    def asked() -> int:  # looked at once a step: all seconds go by before the last
        clock.now = seconds if figures(lines) and lines[-1].get("step") == steps[-2].step else clock.now
        return 0

    options = {"clock": clock, "asked": asked, "every_seconds": 1_000.0}
    run(tmp_path, make_model(), train_rows, validation_rows, steps, lines, **options)
    assert saved_steps(tmp_path) == ([steps[-1].step] if saved else [])


@pytest.mark.parametrize(("seconds", "saved"), [(29.0, False), (31.0, True)])
def test_so_is_the_step_whose_evaluation_may_end_the_training_early(
    tmp_path: Path,
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    seconds: float,
    saved: bool,
) -> None:
    """At a learning rate of 0 the first evaluation stays the best, and the fifth is the last."""
    steps = list(
        schedule(train_rows.lengths, epochs=3, tokens_per_batch=300, learning_rate=0.0, evaluations_per_epoch=2, seed=3)
    )
    fifth = [now.step for now in steps if now.evaluate][4]
    lines: list[Any] = []
    clock = Clock(0.0)

    def asked() -> int:  # looked at after every step and within every evaluation
        clock.now = seconds if figures(lines) and figures(lines)[-1]["step"] == fifth - 1 else clock.now
        return 0

    options = {"clock": clock, "asked": asked, "every_seconds": 1_000.0}
    fitted = run(tmp_path, make_model(), train_rows, validation_rows, steps, lines, **options)
    assert fitted.stopped_early and len(fitted.history) == 5
    assert saved_steps(tmp_path) == ([fifth] if saved else [])


def test_saves_as_often_as_pays_and_says_so_once(
    tmp_path: Path,
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    steps: list[Scheduled],
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines: list[Any] = []
    with caplog.at_level(logging.INFO):
        # every look at the clock is ten seconds on: a save takes ten; at a kill every 2 h Daly's interval is 370 s
        run(
            tmp_path,
            make_model(),
            train_rows,
            validation_rows,
            steps,
            lines,
            clock=Clock(10.0),
            hours_between_failures=2.0,
        )
    saves = [line for line in lines if "saved_after_step" in line]
    assert saves[0]["save_seconds"] == 10.0
    assert saves[0]["next_save_seconds"] == pytest.approx(372.7, abs=0.5)  # sqrt(2 x 10 x 7200) (1 + 0.0088 + ..) - 10
    assert saves[0]["expected_lost_share"] == pytest.approx(10 / 382.7 + 382.7 / 14_400, abs=1e-4)
    assert [record.message for record in caplog.records] == [
        "saved after step 3 in 10.0 s; from here every 6.21 min: with a kill every 2 h, 5.3% of the time is lost to "
        "saving and to kills (Daly 2006)"
    ]


def test_a_checkpoint_from_which_no_step_can_be_taken_does_not_stay(
    tmp_path: Path, make_model: Callable[[], PreTrainedModel], train_rows: Rows, validation_rows: Rows
) -> None:
    """Saved at every step, the last one is of weights whose loss nobody had seen yet."""
    steps = list(
        schedule(train_rows.lengths, epochs=1, tokens_per_batch=300, learning_rate=1e4, evaluations_per_epoch=1, seed=3)
    )
    lines: list[Any] = []
    with pytest.raises(NotFinite, match="the loss is nan at step") as caught:
        run(tmp_path / "c", make_model(), train_rows, validation_rows, steps, lines, every_seconds=0.0)
    last = figures(lines)[-1]["step"]
    assert last > 2
    assert saved_steps(tmp_path / "c") == [last - 1]  # the two newest would be the last one and this
    next_step = caught.value.problems[0].next_step
    assert f"remove {tmp_path / 'c'}" in next_step and f"goes on after step {last - 1}, which helps" in next_step

    again: list[Any] = []
    with pytest.raises(NotFinite):
        run(tmp_path / "c", make_model(), train_rows, validation_rows, steps, again, every_seconds=1_000.0)
    assert again[0] == {"resumed_after_step": last - 1}
    assert figures(again)[-1]["step"] == last


def test_the_only_checkpoint_stays_and_the_error_says_so(
    tmp_path: Path, make_model: Callable[[], PreTrainedModel], train_rows: Rows, validation_rows: Rows
) -> None:
    """The validation loss of the first weights of all, which a fault of the machine may have given."""
    model = make_model()
    with torch.no_grad():
        model.get_input_embeddings().weight[17] = torch.nan
    clean = [index for index, row in enumerate(train_rows.ids) if 17 not in row][:4]
    steps = [Scheduled(1, 1.0, clean, 1e-3, True)]
    with pytest.raises(NotFinite, match="the validation loss is nan at step 1") as caught:
        run(tmp_path / "c", model, train_rows, validation_rows, steps, [], every_seconds=0.0)
    assert saved_steps(tmp_path / "c") == [1]
    next_step = caught.value.problems[0].next_step
    assert f"remove {tmp_path / 'c'}, whose" in next_step
    assert "goes on after step 1, whose weights gave it and which alone is saved, which helps where" in next_step
    with pytest.raises(NotFinite) as caught:
        run(tmp_path / "none", model, train_rows, validation_rows, steps, [])
    assert not (tmp_path / "none").exists()
    assert "remove" not in caught.value.problems[0].next_step


def test_stopped_before_the_first_step_saves_nothing(
    tmp_path: Path,
    make_model: Callable[[], PreTrainedModel],
) -> None:
    from modelyard.training.checkpoint_state import Course
    from modelyard.training.step import make_learner

    saver = Saver(tmp_path, ABOUT, None, lambda figures: None, lambda: signal.SIGTERM)
    learner = make_learner(make_model(), Classifier(0), precision="fp32")
    with pytest.raises(Stopped, match="before the first step"):
        saver.stop_if_asked(learner, Course())
    assert saved_steps(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_noted_and_the_second_does_what_it_did_before(number: signal.Signals) -> None:
    heard: list[int] = []
    before = {one: signal.signal(one, lambda got, _: heard.append(got)) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        with noting_signals() as asked:
            assert asked() == 0
            os.kill(os.getpid(), number)
            assert (asked(), heard) == (number, [])
            os.kill(os.getpid(), number)
            assert heard == [number]
        assert heard == [number, number]  # the one that was noted
        os.kill(os.getpid(), number)
        assert heard == [number, number, number]
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_in_another_thread_no_signal_is_noted() -> None:
    found = []

    def inside() -> None:
        with noting_signals() as asked:
            found.append(asked())

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [0]
