"""The schedule by hand, the loop on the tiny encoder, early stopping and best weights with invented losses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from transformers import PreTrainedModel

from modelyard.errors import InputError
from modelyard.training import loop, step
from modelyard.training.batches import Rows, plan
from modelyard.training.checkpoint_state import About
from modelyard.training.classifier import Classifier
from modelyard.training.derive import Derived
from modelyard.training.loop import (
    Scheduled,
    evaluate,
    evaluations_since_best,
    fit,
    learning_rate_at,
    mean_weight,
    schedule,
)
from modelyard.training.objective import Pass
from modelyard.training.saving import Saver
from modelyard.training.watching import Watch


def steps_of(
    rows: Any, *, epochs: int = 2, evaluations: int = 2, rate: float = 3e-3, budget: int = 300
) -> list[Scheduled]:
    return list(
        schedule(
            rows.lengths,
            epochs=epochs,
            tokens_per_batch=budget,
            learning_rate=rate,
            evaluations_per_epoch=evaluations,
            seed=3,
        )
    )


def run(model: PreTrainedModel, train: Rows, validation: Any, steps: Any, **options: Any) -> Any:
    lines = []
    fitted = fit(
        model, train, validation, Classifier(0), steps, precision="fp32", seed=3, record=lines.append, **options
    )
    return fitted, lines


def test_learning_rate_rises_over_a_tenth_and_falls_to_zero() -> None:
    assert [learning_rate_at(f, 2.0) for f in (0.0, 0.05, 0.1, 0.55, 1.0)] == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0])


def test_schedule_takes_every_row_once_an_epoch_and_ends_it_with_an_evaluation(train_rows: Rows) -> None:
    steps = steps_of(train_rows, epochs=3, evaluations=2)
    per_epoch = len(steps) // 3
    assert [now.step for now in steps] == list(range(1, len(steps) + 1))
    assert [now.batch for now in steps[:per_epoch]] == plan(train_rows.lengths, tokens_per_batch=300, seed=3, epoch=0)
    for epoch in (1.0, 2.0, 3.0):
        assert [now.evaluate for now in steps if now.epoch == epoch] == [True]
    assert sum(now.evaluate for now in steps) == 6
    assert all(0 < now.learning_rate <= 3e-3 for now in steps)
    assert steps[-1].learning_rate < steps[-2].learning_rate


def test_schedule_of_a_single_batch_evaluates_once() -> None:
    assert [
        now.evaluate
        for now in schedule([3, 3], epochs=1, tokens_per_batch=99, learning_rate=1.0, evaluations_per_epoch=4, seed=0)
    ] == [True]


def test_over_an_epoch_every_row_counts_the_same(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    steps = steps_of(train_rows, epochs=2, budget=150)
    epoch = [now for now in steps if now.epoch <= 1.0]
    assert len({len(now.batch) for now in epoch}) > 2  # the mean of each step would weigh its rows by how many they are
    model, by_torch = make_model().double().eval(), make_model().double().eval()
    learner = step.make_learner(model, Classifier(0), precision="fp32", step_weight=mean_weight(train_rows, steps))
    added = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for now in epoch:
        found = step.take_step(learner, train_rows, now.batch, learning_rate=0.0, step=now.step)
        assert found.gradient_norm < step.CLIP_NORM
        for name, weight in model.named_parameters():
            added[name] += weight.grad / len(epoch)
    for index, row in enumerate(train_rows.ids):
        loss = torch.nn.CrossEntropyLoss()(
            by_torch(input_ids=torch.tensor([list(row)])).logits, torch.from_numpy(train_rows.labels[index : index + 1])
        )
        (loss / len(train_rows.ids)).backward()
    for name, weight in by_torch.named_parameters():
        torch.testing.assert_close(added[name], weight.grad, rtol=0, atol=1e-9)


def test_the_mean_weight_of_a_step_is_of_learned_tokens_over_all_epochs() -> None:
    rows = Rows([[1] * 5] * 6, [""] * 6, learned=[b"\0\1\1\1\1", *[b"\0\0\0\0\1"] * 5])
    steps = steps_of(rows, epochs=2, budget=10)
    assert len(steps) == 6
    assert mean_weight(rows, steps) == 2 * 9 / 6


def test_evaluate_gives_each_row_what_it_gets_alone_and_in_its_order(
    make_model: Callable[[], PreTrainedModel], validation_rows: Rows
) -> None:
    model = make_model().train()
    logits = evaluate(model, validation_rows, Classifier(0))
    assert model.training
    model.eval()
    with torch.inference_mode():
        alone = [model(input_ids=torch.tensor([list(row)])).logits[0].numpy() for row in validation_rows.ids]
    np.testing.assert_allclose(logits, alone, atol=1e-5)


def test_fit_learns_and_ends_with_the_best_weights(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows, validation_rows: Rows
) -> None:
    model = make_model()
    steps = steps_of(train_rows, epochs=12, evaluations=1, rate=5e-3)
    told = []
    fitted, lines = run(
        model, train_rows, validation_rows, steps, progress=lambda what, done, total: told.append((what, done, total))
    )
    best = min(fitted.history, key=lambda entry: entry["validation_loss"])
    assert fitted.best_step == best["step"]
    assert best["validation_loss"] < 0.5 * fitted.history[0]["validation_loss"]
    np.testing.assert_array_equal(evaluate(model, validation_rows, Classifier(0)), fitted.outputs)
    by_scipy = -log_softmax(fitted.outputs.astype(float), axis=1)[np.arange(60), validation_rows.labels].mean()
    assert best["validation_loss"] == pytest.approx(by_scipy, rel=1e-9)
    assert best["validation_accuracy"] == (fitted.outputs.argmax(axis=1) == validation_rows.labels).mean()
    stepped = [line for line in lines if "learning_rate" in line]
    assert set(stepped[0]) == {"step", "loss", "learning_rate", "gradient_norm", "tokens", "tokens_per_second"}
    assert sum(line["tokens"] for line in stepped[: len(steps) // 12]) == sum(train_rows.lengths)
    assert any(what.startswith("train, loss ") and total == len(steps) for what, _, total in told)


@dataclass(frozen=True)
class Slow(Classifier):
    """Two seconds to pad rows, three for a pass, a hundred for one of an evaluation, by a clock that stands else."""

    now: tuple[list[float], ...] = ([0.0],)

    def read(self, rows: Rows, part: Sequence[int]) -> Pass:
        self.now[0][0] += 2.0
        row_losses = super().read(rows, part)

        def slowly(called: torch.nn.Module) -> torch.Tensor:
            self.now[0][0] += 3.0
            return row_losses(called)

        return slowly

    def outputs(self, model: PreTrainedModel, rows: Rows, part: Sequence[int]) -> NDArray[np.float32]:
        self.now[0][0] += 100.0
        return super().outputs(model, rows, part)


def test_the_pace_is_of_all_that_a_step_takes_but_of_no_evaluation_and_no_save(
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    for module in (loop, step):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def told(every_seconds: float) -> list[tuple[float, float]]:
        """Seconds of each step, and those of them for its data; the second is evaluated."""
        lines: list[Mapping[str, float]] = []

        def record(figures: Mapping[str, float]) -> None:
            now[0] += 1_000.0 if "saved_after_step" in figures else 5.0
            lines.append(figures)

        model, objective = make_model(), Slow(0, now=(now,))
        about = About({}, "fp32", "", Derived(8_192, ""))
        fit(
            model,
            train_rows,
            validation_rows,
            objective,
            [Scheduled(number, 0.1 * number, [number, number + 1], 1e-3, number == 2) for number in (1, 2, 3)],
            precision="fp32",
            seed=3,
            record=record,
            saver=Saver(tmp_path, about, None, record, every_seconds=every_seconds),
            watch=Watch(model, train_rows, objective, steps=3),
        )
        stepped = [line for line in lines if "learning_rate" in line]
        return [(round(line["tokens"] / line["tokens_per_second"]), line["data_seconds"]) for line in stepped]

    assert told(every_seconds=1e9) == [(5, 2.0), (10, 2.0), (5, 2.0)]  # of the first one five are the second's
    assert told(every_seconds=0.0) == [(5, 2.0)] * 3


def test_fit_is_the_same_again(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows, validation_rows: Rows
) -> None:
    steps = steps_of(train_rows, epochs=1)
    one, _ = run(make_model(), train_rows, validation_rows, steps)
    two, _ = run(make_model(), train_rows, validation_rows, steps)
    assert one.history == two.history
    np.testing.assert_array_equal(one.outputs, two.outputs)


@pytest.mark.parametrize(
    ("validation_losses", "best", "last", "early"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 10, 10, False),  # always better
        ([5, 1, 2, 3, 4, 5, 6, 7, 8, 9], 2, 6, True),  # four worse ones after the second
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 1, 5, True),  # not before the first epoch's end, which is the fifth
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 1, 5, True),  # equal is not better
    ],
)
def test_stops_early_and_goes_back_to_the_best(
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    validation_losses: list[int],
    best: int,
    last: int,
    early: bool,
) -> None:
    model, weights = make_model(), []
    answers = iter(validation_losses)

    def figures(outputs: Any, rows: Any, objective: Any, *, step: int) -> dict[str, float]:
        weights.append(model.classifier.weight.detach().clone())
        return {"validation_loss": float(next(answers)), "validation_accuracy": 0.5}

    monkeypatch.setattr(loop, "_judge", figures)
    steps = [
        loop.Scheduled(step, step / 5, [step, step + 1], 1e-2, True) for step in range(1, 11)
    ]  # two epochs of five steps
    fitted, _ = run(model, train_rows, validation_rows, steps)
    assert (fitted.best_step, fitted.history[-1]["step"], fitted.stopped_early) == (best, last, early)
    assert torch.equal(model.classifier.weight, weights[best - 1])


def test_evaluations_since_best() -> None:
    losses = [{"validation_loss": loss} for loss in (3.0, 1.0, 2.0, 1.0)]
    assert evaluations_since_best(losses) == 2


def test_a_validation_loss_that_is_no_number_names_the_row(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows, validation_rows: Rows
) -> None:
    model = make_model()
    rare = [i for i, row in enumerate(validation_rows.ids) if 17 in row]
    clean = [i for i, row in enumerate(train_rows.ids) if 17 not in row][:4]
    with torch.no_grad():
        model.get_input_embeddings().weight[17] = torch.nan
    with pytest.raises(InputError) as caught:
        run(model, train_rows, validation_rows, [loop.Scheduled(1, 1.0, clean, 1e-3, True)])
    assert "validation loss is nan at step 1" in caught.value.problems[0].message
    assert validation_rows.sources[rare[0]] in caught.value.problems[0].message


def test_a_training_in_which_fp16_never_updates_is_refused(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows, validation_rows: Rows
) -> None:
    model = make_model()
    model.classifier.weight.register_hook(lambda gradient: gradient * torch.inf)
    steps = [Scheduled(step, step / 3, [0, 1], 1e-3, step == 3) for step in (1, 2, 3)]  # fewer than the scaler needs
    with pytest.raises(InputError, match=r"the gradient, as at every step before, is (inf|nan) at step 3"):
        fit(
            model,
            train_rows,
            validation_rows,
            Classifier(0),
            steps,
            precision="fp16",
            seed=1,
            record=lambda figures: None,
        )
