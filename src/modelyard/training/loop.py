"""The training loop: step through the schedule, evaluate, keep the best weights, stop when it no longer helps."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from modelyard.progress import Progress, silent
from modelyard.training.batches import Rows, cut, plan
from modelyard.training.checkpoint_state import Course
from modelyard.training.diverging import warned
from modelyard.training.formats import Precision
from modelyard.training.group import ALONE, Group
from modelyard.training.objective import Objective
from modelyard.training.saving import Saver
from modelyard.training.sharding import is_sharded, no_gradients, put_from_first, whole
from modelyard.training.step import Learner, make_learner, not_finite, take_step
from modelyard.training.watching import Watch

# google-research/bert, run_classifier.py and optimization.py: `warmup_proportion` 0.1, then linear to zero at the end
WARM_UP = 0.1
# evaluations in a row without a lower validation loss (Prechelt 1998, Early stopping, but when?: criterion UP), and
# never within the first epoch, whose rows the model has not all seen
PATIENCE = 4
EVALUATION_TOKENS = 2_048  # of one forward pass: its activations stay in a CPU's cache


class Scheduled(NamedTuple):
    """One step of the schedule.

    Attributes:
        step: from 1.
        epoch: completed after this step, in epochs.
        batch: indices of its rows.
        learning_rate: of this step.
        evaluate: whether to evaluate after it.
    """

    step: int
    epoch: float
    batch: list[int]
    learning_rate: float
    evaluate: bool


@dataclass(frozen=True)
class Fitted:
    """How training went; the model holds the weights of the best step.

    Attributes:
        best_step: number of updates behind the best weights.
        history: one entry per evaluation: step, epoch, train_loss, validation_loss, and what the objective adds.
        outputs: of the validation rows at the best step, in their order, shape (rows, width of the objective).
        stopped_early: whether steps of the schedule were not taken.
    """

    best_step: int
    history: list[dict[str, float]]
    outputs: NDArray[np.float32]
    stopped_early: bool


def learning_rate_at(fraction: float, peak: float) -> float:
    """Linear warm-up to `peak`, then linear decay to zero at the end.

    Args:
        fraction: of the training done, 0 to 1.
        peak: the highest learning rate.
    """
    return peak * min(fraction / WARM_UP, (1.0 - fraction) / (1.0 - WARM_UP))


def schedule(
    lengths: Sequence[int],
    *,
    epochs: int,
    tokens_per_batch: int,
    learning_rate: float,
    evaluations_per_epoch: int,
    seed: int,
    packs: bool = False,
    by_rows: bool = False,
) -> Iterator[Scheduled]:
    """Every step of a training, known before the first is taken.

    Args:
        lengths: tokens of each train row.
        epochs: passes over the rows.
        tokens_per_batch: of one step, padding not counted.
        learning_rate: the peak.
        evaluations_per_epoch: evenly spread, the last one at the epoch's end.
        seed: of the order.
        packs: as in `plan`.
        by_rows: as in `plan`.
    """
    step = 0
    for epoch in range(epochs):
        batches = plan(lengths, tokens_per_batch=tokens_per_batch, seed=seed, epoch=epoch, packs=packs, by_rows=by_rows)
        pauses = {
            math.ceil(len(batches) * part / evaluations_per_epoch) for part in range(1, evaluations_per_epoch + 1)
        }
        for position, batch in enumerate(batches, start=1):
            step += 1
            # the middle of the step: the first one would learn nothing at its start, the last nothing at its end
            fraction = (epoch + (position - 0.5) / len(batches)) / epochs
            rate = learning_rate_at(fraction, learning_rate)
            yield Scheduled(step, epoch + position / len(batches), batch, rate, position in pauses)


def evaluate(
    model: PreTrainedModel, rows: Rows, objective: Objective, *, group: Group = ALONE, progress: Progress = silent
) -> NDArray[np.float32]:
    """What the objective keeps of every row, without dropout, in the order of the rows, shape (rows, width).

    The same in every process, and in fp32 whatever the training's precision: it is what every later form of the model
    is compared with.
    """
    order = sorted(range(len(rows.ids)), key=lambda index: len(rows.ids[index]))
    outputs = np.zeros((len(order), objective.width(model)), dtype=np.float32)
    training, done = model.training, 0
    parts = cut(order, rows.lengths, min(EVALUATION_TOKENS, objective.tokens_per_forward))
    model.eval()
    with no_gradients(model):
        # one part a process, so that all have equally many turns
        for start in range(0, len(parts), group.size):
            turn = parts[start : start + group.size]
            share = group.share(turn)
            for part in share:
                outputs[part] = objective.outputs(model, rows, part)
            if not share and is_sharded(model):
                objective.outputs(model, rows, turn[0])  # for nothing: the others wait for its part of the weights
            done += sum(len(part) for part in turn)
            progress("evaluate", done, len(order))
    model.train(training)
    return group.sums(outputs)  # each row is zero in all processes but one


def fit(
    model: PreTrainedModel,
    train: Rows,
    validation: Rows,
    objective: Objective,
    steps: Sequence[Scheduled],
    *,
    precision: Precision,
    seed: int,
    record: Callable[[Mapping[str, float]], None],
    saver: Saver | None = None,
    watch: Watch | None = None,
    group: Group = ALONE,
    untrained_loss: float = math.inf,
    step_weight: float | None = None,
    progress: Progress = silent,
) -> Fitted:
    """Fine-tune `model` in place and leave it with the weights of the lowest validation loss.

    Args:
        model: on its device, weights in fp32.
        train: rows to learn from.
        validation: rows to judge by, at least one.
        objective: what is minimised.
        steps: from `schedule`, at least one.
        precision: of the forward and backward pass.
        seed: of dropout.
        record: is given the figures of every step and of every evaluation.
        saver: where the training starts, and when it is saved; None begins and saves nothing.
        watch: what the figures of every step say beside loss and speed.
        group: the processes that train together; each gives the same result.
        untrained_loss: of a model that has learned nothing, in nats; far above it a warning is given.
        step_weight: as in `Learner`, see `mean_weight`.
        progress: told after every step.

    Raises:
        NotFinite: a loss or a gradient is not a finite number, with the step and the rows; or no step in fp16 had a
            gradient that is.
        InputError: a checkpoint cannot be read or written.
        Stopped: a signal asked for an end; the training is saved.
    """
    # over sixty lines with what it is given: the loop is to be read in one place
    torch.manual_seed(seed + group.rank)  # every process drops out its own
    learner = make_learner(model.train(), objective, precision=precision, group=group, step_weight=step_weight)
    course = Course() if saver is None else saver.begin(learner)
    evaluating = _stoppable(progress, saver, learner, course)
    if watch is not None:
        watch.begin(course.step)
    progress("train", course.step, len(steps))
    since = time.perf_counter()
    with contextlib.nullcontext() if saver is None else saver.forgetting_dead_ends(learner, course):
        # a checkpoint is of the moment after a step: one that is evaluated has its evaluation still before it
        for now in steps[max(course.step - 1, 0) :]:
            if now.step > course.step:
                figures, since = _advance(learner, train, now, course, watch, since)
                record(figures)
                progress(_told(course, figures), now.step, len(steps))
                if saver is not None and saver.after_step(learner, course, last=_may_be_last(now, steps, course)):
                    since = time.perf_counter()
            if now.evaluate:
                outputs = evaluate(model, validation, objective, group=group, progress=evaluating)
                figures = _note(course, now, learner, outputs, validation)
                record(figures | warned(course.history, untrained_loss, now.learning_rate))
                if now.epoch >= 1.0 and evaluations_since_best(course.history) >= PATIENCE:
                    break
                since = time.perf_counter()
        if watch is not None:
            record(watch.in_the_end(now.step))
        _refuse_no_update(course, train, now)
    put_from_first(model, course.best_weights)
    return Fitted(course.best_step, course.history, course.best_outputs, stopped_early=now.step < steps[-1].step)


def mean_weight(rows: Rows, steps: Sequence[Scheduled]) -> float:
    """What the rows of a step count on average.

    Divided by it, every row, or learned token, counts the same over an epoch. By the mean of its own step one among few
    long rows would count for more than one among many short ones: MiniLM on 2,048 reviews, in steps of as many tokens,
    ends an epoch 0.024 nats higher so (the mean of four seeds, benchmarks/step_shape.py).
    """
    return float(rows.weights.sum()) * steps[-1].epoch / len(steps)


def _may_be_last(now: Scheduled, steps: Sequence[Scheduled], course: Course) -> bool:
    """Whether no step may come after this one, whose evaluation is still before it."""
    judged = now.evaluate and now.epoch >= 1.0 and bool(course.history)
    return now is steps[-1] or (judged and evaluations_since_best(course.history) >= PATIENCE - 1)


def _stoppable(progress: Progress, saver: Saver | None, learner: Learner, course: Course) -> Progress:
    """A progress of an evaluation at whose every word a signal may save and stop the training."""

    def told(what: str, done: int, total: int) -> None:
        if saver is not None:
            saver.stop_if_asked(learner, course)
        progress(what, done, total)

    return told


def _told(course: Course, figures: Mapping[str, float]) -> str:
    return f"train, loss {course.loss_sum / course.weight_seen:.3f}, {figures['tokens_per_second']:,.0f} tokens/s"


def _refuse_no_update(course: Course, train: Rows, last: Scheduled) -> None:
    if not course.updated:
        named = [train.sources[index] for index in last.batch]
        raise not_finite("gradient, as at every step before,", course.gradient_norm, last.step, named)


def _advance(
    learner: Learner, train: Rows, now: Scheduled, course: Course, watch: Watch | None, since: float
) -> tuple[dict[str, float], float]:
    """Take one step, move the course to it, and give its figures and the clock at its end.

    It takes the time since the step before ended, what was told of that one included; of an evaluation or a save
    between them, since that.
    """
    result = take_step(learner, train, now.batch, learning_rate=now.learning_rate, step=now.step)
    ended = time.perf_counter()
    seconds = ended - since
    tokens, weight = sum(len(train.ids[index]) for index in now.batch), train.weight(now.batch)
    course.step, course.gradient_norm = now.step, result.gradient_norm
    course.loss_sum += result.loss_sum
    course.weight_seen += weight
    course.updated |= math.isfinite(result.gradient_norm)  # fp16 skips an update while its scale is being found
    figures = {
        "step": now.step,
        "loss": result.loss_sum / weight,
        "learning_rate": now.learning_rate,
        "gradient_norm": result.gradient_norm,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        **({} if watch is None else watch.of_step(now.step, now.batch, seconds, result.data_seconds)),
    }
    return figures, ended


def _note(
    course: Course, now: Scheduled, learner: Learner, outputs: NDArray[np.float32], validation: Rows
) -> dict[str, float]:
    """Put an evaluation into the course, with the weights where they are the best so far, and give its figures."""
    figures = _judge(outputs, validation, learner.objective, step=now.step)
    train_loss = course.loss_sum / course.weight_seen
    course.history.append({"step": now.step, "epoch": now.epoch, "train_loss": train_loss, **figures})
    course.loss_sum, course.weight_seen = 0.0, 0
    if evaluations_since_best(course.history) == 0:
        course.best_step, course.best_outputs = now.step, outputs
        weights = whole(learner.model.state_dict(), first=learner.group.first)
        course.best_weights = {name: weight.detach().to("cpu", copy=True) for name, weight in weights}
    return course.history[-1]


def evaluations_since_best(history: Sequence[Mapping[str, float]]) -> int:
    """Evaluations after the one with the lowest validation loss; the first of equal ones counts."""
    found = [entry["validation_loss"] for entry in history]
    return len(found) - 1 - found.index(min(found))


def _judge(outputs: NDArray[np.float32], rows: Rows, objective: Objective, *, step: int) -> dict[str, float]:
    row_losses, figures = objective.judged(outputs, rows)
    mean = float(row_losses.sum() / rows.weights.sum())
    if not math.isfinite(mean):
        bad = [source for source, loss in zip(rows.sources, row_losses, strict=True) if not math.isfinite(loss)]
        raise not_finite("validation loss", mean, step, bad)
    return {"validation_loss": mean, **figures}
