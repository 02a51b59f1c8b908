"""What is to be had without training, by hand; when a training is told to diverge."""

import logging
import math
from collections.abc import Callable

import numpy as np
import pytest
from transformers import PreTrainedModel

from modelyard.tasks import multi_label
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier, several_labels_figures
from modelyard.training.diverging import loss_without_training, warned
from modelyard.training.language import language
from modelyard.training.loop import fit, schedule

Make = Callable[[], PreTrainedModel]


def test_a_classifiers_is_that_of_a_coin(make_model: Make, validation_rows: Rows) -> None:
    found = loss_without_training(make_model(), validation_rows, Classifier(0), None)
    assert found == pytest.approx(math.log(2), rel=1e-6)


def test_so_is_that_of_each_of_several_labels(make_model: Make, validation_rows: Rows) -> None:
    several = Classifier(0, losses=multi_label.losses, figures=several_labels_figures)
    rows = Rows(validation_rows.ids, validation_rows.sources, labels=np.eye(2, dtype=np.int64)[validation_rows.labels])
    assert loss_without_training(make_model(), rows, several, None) == pytest.approx(math.log(2), rel=1e-6)


def test_a_language_models_is_the_bases_or_that_of_any_token(make_language_model: Make) -> None:
    model = make_language_model()
    rows = Rows([[1, 2, 3], [1, 2]], ["a:1", "a:2"], learned=[b"\0\1\1", b"\0\1"])
    objective = language(model, rows)
    before = np.array([[5.0], [1.0]], np.float32)  # nats of the two learned tokens, and of the one
    assert loss_without_training(model, rows, objective, before) == pytest.approx(2.0)
    vocabulary = model.config.vocab_size
    assert loss_without_training(model, rows, objective, None) == pytest.approx(math.log(vocabulary))


def entry(step: int, train: float, validation: float) -> dict[str, float]:
    return {"step": step, "train_loss": train, "validation_loss": validation}


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([(0.70, 0.70)], [0]),  # a new head is a little above a coin's 0.693
        ([(2.0, 2.0)], [1]),
        ([(0.1, 2.0)], [0]),  # learned by heart
        ([(2.0, 0.1)], [0]),  # over its first steps, and no more
        ([(2.0, 2.0), (3.0, 3.0)], [1, 0]),  # said once
        ([(2.0, 2.0), (0.5, 0.5), (3.0, 3.0)], [1, 0, 1]),
    ],
)
def test_it_is_told_once_where_both_losses_are_clearly_above(
    caplog: pytest.LogCaptureFixture, losses: list[tuple[float, float]], told: list[int]
) -> None:
    history: list[dict[str, float]] = []
    for (train, validation), times in zip(losses, told, strict=True):
        caplog.clear()
        history.append(entry(40 * (len(history) + 1), train, validation))
        with caplog.at_level(logging.WARNING):
            figures = warned(history, 0.693, 0.005)
        assert len(caplog.records) == times
        assert figures == ({"untrained_loss": 0.693} if min(train, validation) > 1 else {})


def test_the_loop_says_so_with_the_step_and_the_rate_and_goes_on(
    make_model: Make, train_rows: Rows, validation_rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    steps = list(
        schedule(train_rows.lengths, epochs=1, tokens_per_batch=300, learning_rate=1.0, evaluations_per_epoch=2, seed=3)
    )
    lines: list[dict[str, float]] = []
    with caplog.at_level(logging.WARNING):
        fitted = fit(
            make_model(),
            train_rows,
            validation_rows,
            Classifier(0),
            steps,
            precision="fp32",
            seed=3,
            record=lambda figures: lines.append(dict(figures)),
            untrained_loss=math.log(2),
        )
    first = next(now for now in steps if now.evaluate)
    assert f"at step {first.step} the loss is " in caplog.text
    assert f"at a learning rate of {first.learning_rate:.2g}" in caplog.text
    judged = [line for line in lines if "validation_loss" in line]
    assert judged[0]["untrained_loss"] == math.log(2)
    assert len(fitted.history) == len(judged) == 2
    assert not any("untrained_loss" in line for line in fitted.history)
