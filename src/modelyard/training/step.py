"""One optimiser step: forward and backward over the parts of a batch, clip, update."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from modelyard.errors import InputError, NotFinite, Problem
from modelyard.training.batches import Rows, cut
from modelyard.training.formats import Precision, in_format
from modelyard.training.group import ALONE, Group, held_back
from modelyard.training.objective import Objective, Pass
from modelyard.training.sharding import is_sharded, number

# AdamW as BERT was tuned (google-research/bert, optimization.py): decay 0.01 but not on biases and norms, gradients
# clipped to a global norm of 1
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
# Where a gradient of fp16 is not finite, torch.amp.GradScaler skips the update and halves its scale, 2^16 at first, so
# that the next one fits. At 1, after 16 skipped updates in a row, there is nothing left to lower: the gradient itself
# is not finite in fp16, and every further update would be skipped without a word.
LEAST_LOSS_SCALE = 1.0
_NAMED = 5  # rows named in an error
TRY_LOWER = "set a lower train.learning_rate or train.precision: fp32"
"""What to do about a number that is not finite."""


@dataclass(frozen=True)
class Learner:
    """What a step reads and updates.

    Attributes:
        model: weights in fp32; in training mode where dropout is wanted.
        group: the processes that train it together.
        called: what the forward pass goes through, `model` or what adds up its gradients over the group.
        step_weight: what a step's rows count on average, by which all are divided; None: each step by what its own do.
        optimiser: over the model's weights.
        scaler: of the loss against underflow; switched off except for fp16.
        precision: of the forward pass; the backward pass follows it.
        objective: what is minimised.
    """

    model: PreTrainedModel
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    precision: Precision
    objective: Objective
    group: Group
    called: torch.nn.Module
    step_weight: float | None = None


class StepResult(NamedTuple):
    """What a step says.

    Attributes:
        loss_sum: of the rows' losses in nats, before the update.
        gradient_norm: of the gradient of the batch's mean loss, before clipping.
        data_seconds: in which this process put its rows into arrays.
    """

    loss_sum: float
    gradient_norm: float
    data_seconds: float


def make_learner(
    model: PreTrainedModel,
    objective: Objective,
    *,
    precision: Precision,
    group: Group = ALONE,
    step_weight: float | None = None,
) -> Learner:
    """A fresh optimiser around a model that the processes of a group train together.

    Fused, because one kernel that walks all weights once takes 18 ms for MiniLM on 2 cores where torch's default takes
    198.

    Args:
        model: weights in fp32.
        objective: what is minimised.
        precision: of the passes.
        group: the processes.
        step_weight: as in `Learner`.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=0.0,
        fused=True,
    )
    scaler = loss_scaler(model, precision)
    return Learner(model, optimiser, scaler, precision, objective, group, group.together(model), step_weight)


def loss_scaler(model: PreTrainedModel, precision: Precision) -> torch.amp.GradScaler:
    """Torch's scaler of the loss, switched off except for fp16.

    Of a sharded model each process looks through its parts of the gradients only; torch then takes the most of what
    they have found (`found_inf_reduce_handler`), so that all skip an update or none does.
    """
    return torch.amp.GradScaler(model.device.type, enabled=precision == "fp16")


def compute_again(model: PreTrainedModel) -> None:
    """Let a model keep only what enters each layer, and compute the layer again when its gradients are wanted.

    Chen et al. (2016), Training deep nets with sublinear memory cost: one more forward pass, a third of a step. Dropout
    draws the same again, so that the gradients are the same, bit for bit.

    Raises:
        InputError: transformers does not know the model's layers.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        message = f"train.activation_checkpointing is true: transformers knows no layers of a {model.config.model_type}"
        raise InputError(Problem(message, "set it to false", "modelyard.yaml")) from error
    model.disable_input_require_grads()  # only the re-entrant way needs that of the embeddings


def take_step(
    learner: Learner,
    rows: Rows,
    batch: Sequence[int],
    *,
    learning_rate: float,
    step: int,
) -> StepResult:
    """Update the weights on one batch.

    Each process of the group takes its share of the batch, in parts that fit one forward pass; each part's loss is
    divided by the same weight (the rows, or learned tokens, of the batch or of a mean one), so that the gradients of
    all parts of all processes add up to that of the whole batch. Clipped is what the gradient of the mean would be.

    Args:
        learner: what is updated.
        rows: of the split.
        batch: indices of the rows of this step, neighbours of like length.
        learning_rate: of this step.
        step: its number, for the error.

    Raises:
        NotFinite: the loss or the gradient is not a finite number, the gradient in fp16 not even at the least scale
            of the loss; the weights are as they were.
    """
    group, of_batch = learner.group, rows.weight(batch)
    weight = of_batch if learner.step_weight is None else learner.step_weight
    loss_sum, data_seconds, bad = 0.0, 0.0, list[str]()
    learner.optimiser.zero_grad(set_to_none=True)
    objective = learner.objective
    parts = cut(group.share(batch), rows.lengths, objective.tokens_per_forward, padded=not objective.packs)
    counted, passes = len(parts), _passes(learner, len(parts))
    # a process without a row takes the first one for nothing: the others wait for its gradients
    for turn, part in enumerate(parts + [[batch[0]]] * (passes - counted), start=1):
        start = time.perf_counter()
        losses_of = objective.read(rows, part)
        data_seconds += time.perf_counter() - start
        # the gradients of the group are averaged, not added up
        share = float(turn <= counted) * group.size / weight
        with held_back(learner.called, last=turn == passes):
            row_losses = _pass(learner, losses_of, share)
        loss_sum += float(turn <= counted) * row_losses.sum().item()
        finite = torch.isfinite(row_losses).tolist()
        bad += [rows.sources[index] for index, good in zip(part, finite, strict=True) if not good]
    loss_sum = float(group.sums(np.array([loss_sum]))[0])
    if not math.isfinite(loss_sum):
        raise not_finite("loss", loss_sum, step, sorted(source for found in group.gather(bad) for source in found))
    learner.scaler.unscale_(learner.optimiser)
    norm = _clip(learner.model, of_batch / weight)
    if not math.isfinite(norm) and learner.scaler.get_scale() <= LEAST_LOSS_SCALE:  # 1 where the scaler is off
        raise not_finite("gradient", norm, step, [rows.sources[index] for index in batch])
    for parameters in learner.optimiser.param_groups:
        parameters["lr"] = learning_rate
    learner.scaler.step(learner.optimiser)
    learner.scaler.update()
    return StepResult(loss_sum, norm, data_seconds)


def _passes(learner: Learner, parts: int) -> int:
    """How often a process calls the model in a step: once at least, and sharded as often as any other does."""
    return max(1, int(learner.group.most(parts)[0]) if is_sharded(learner.model) else parts)


def _clip(model: PreTrainedModel, times: float) -> float:
    """Scale a gradient, so many times that of the mean, as it takes that one to a norm of `CLIP_NORM`; its norm before.

    Unlike torch's `clip_grad_norm_` it writes nothing where there is nothing to do: half a gigabyte of SmolLM2-135M.
    """
    weights = [weight for weight in model.parameters() if weight.grad is not None]
    total = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None], foreach=True)
    if (norm := number(total) / times) > CLIP_NORM:
        torch.nn.utils.clip_grads_with_norm_(weights, CLIP_NORM * times, total, foreach=True)
    return norm


def _pass(learner: Learner, losses_of: Pass, share: float) -> torch.Tensor:
    """The losses of some rows; the gradient of their sum, times a share, is added to that of the step."""

    def forward_and_backward() -> torch.Tensor:
        losses = losses_of(learner.called)
        learner.scaler.scale(share * losses.sum()).backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    return in_format(learner.called, learner.precision, forward_and_backward)


def not_finite(what: str, value: float, step: int, sources: Sequence[str]) -> NotFinite:
    """The error of a number that is not finite, with the step and the rows it came from."""
    named = ", ".join(sources[:_NAMED]) + (f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else "")
    return NotFinite(
        Problem(
            f"the {what} is {value} at step {step}, on the rows {named}: training needs a finite number",
            f"{TRY_LOWER}; where the first step fails, look at the base model's weights",
            sources[0] if sources else "",
        )
    )
