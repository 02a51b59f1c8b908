"""One optimiser step: forward and backward over the parts of a batch, clip, update."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from transformers import PreTrainedModel

from modelyard.engines.padding import pad
from modelyard.errors import InputError, Problem
from modelyard.tasks.classification import losses
from modelyard.training.batches import Rows, cut

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# activations of one forward pass of BERT-base on rows of 128 tokens: 3.3 GB in 16 bits, twice that in fp32
# (Korthikanti et al. 2022, Reducing activation recomputation, equation 1: tokens x h x (34 + 5as/h) bytes a layer)
TOKENS_PER_FORWARD = 8_192
# AdamW as BERT was tuned (google-research/bert, optimization.py): decay 0.01 but not on biases and norms, gradients
# clipped to a global norm of 1
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
# Where a gradient of fp16 is not finite, torch.amp.GradScaler skips the update and halves its scale, 2^16 at first, so
# that the next one fits. At 1, after 16 skipped updates in a row, there is nothing left to lower: the gradient itself
# is not finite in fp16, and every further update would be skipped without a word.
LEAST_LOSS_SCALE = 1.0
_NAMED = 5  # rows named in an error


@dataclass(frozen=True)
class Learner:
    """What a step reads and updates.

    Attributes:
        model: weights in fp32; in training mode where dropout is wanted.
        optimiser: over the model's weights.
        scaler: of the loss against underflow; switched off except for fp16.
        precision: of the forward pass; the backward pass follows it.
        pad_id: token id of padding.
    """

    model: PreTrainedModel
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    precision: Precision
    pad_id: int


class StepResult(NamedTuple):
    """Sum of the rows' losses in nats before the update, and the norm of their mean's gradient before clipping."""

    loss_sum: float
    gradient_norm: float


def make_learner(model: PreTrainedModel, *, precision: Precision, pad_id: int) -> Learner:
    """A fresh optimiser around a model.

    Fused, because one kernel that walks all weights once takes 18 ms for MiniLM on 2 cores where torch's default takes
    198.
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
    scaler = torch.amp.GradScaler(model.device.type, enabled=precision == "fp16")
    return Learner(model, optimiser, scaler, precision, pad_id)


def forward(model: PreTrainedModel, rows: Sequence[Sequence[int]], pad_id: int) -> torch.Tensor:
    """Logits of rows padded to the longest of them, shape (rows, labels)."""
    arrays = pad(rows, pad_id)
    logits: torch.Tensor = model(
        input_ids=torch.from_numpy(arrays["input_ids"]).to(model.device),
        attention_mask=torch.from_numpy(arrays["attention_mask"]).to(model.device),
    ).logits
    return logits


def take_step(
    learner: Learner,
    rows: Rows,
    batch: Sequence[int],
    *,
    learning_rate: float,
    step: int,
    tokens_per_forward: int = TOKENS_PER_FORWARD,
) -> StepResult:
    """Update the weights on one batch.

    The batch goes through in parts of at most `tokens_per_forward`; each part's loss is divided by the rows of the
    whole batch, so that the parts' gradients add up to that of the mean over the batch.

    Args:
        learner: what is updated.
        rows: of the split.
        batch: indices of the rows of this step, neighbours of like length.
        learning_rate: of this step.
        step: its number, for the error.
        tokens_per_forward: padding included.

    Raises:
        InputError: the loss or the gradient is not a finite number, the gradient in fp16 not even at the least scale
            of the loss; the weights are as they were.
    """
    device = learner.model.device
    loss_sum = 0.0
    learner.optimiser.zero_grad(set_to_none=True)
    for part in cut(batch, rows.lengths, tokens_per_forward):
        with torch.autocast(device.type, dtype=DTYPES[learner.precision], enabled=learner.precision != "fp32"):
            logits = forward(learner.model, [rows.ids[index] for index in part], learner.pad_id)
        row_losses = losses(logits, torch.from_numpy(rows.labels[part]).to(device))
        learner.scaler.scale(row_losses.sum() / len(batch)).backward()  # type: ignore[no-untyped-call]
        loss_sum += row_losses.detach().sum().item()
        if not math.isfinite(loss_sum):
            finite = torch.isfinite(row_losses.detach()).tolist()
            bad = [rows.sources[index] for index, good in zip(part, finite, strict=True) if not good]
            raise not_finite("loss", loss_sum, step, bad)
    learner.scaler.unscale_(learner.optimiser)
    norm = torch.nn.utils.clip_grad_norm_(learner.model.parameters(), CLIP_NORM, foreach=True).item()
    if not math.isfinite(norm) and learner.scaler.get_scale() <= LEAST_LOSS_SCALE:  # 1 where the scaler is off
        raise not_finite("gradient", norm, step, [rows.sources[index] for index in batch])
    for group in learner.optimiser.param_groups:
        group["lr"] = learning_rate
    learner.scaler.step(learner.optimiser)
    learner.scaler.update()
    return StepResult(loss_sum, norm)


def not_finite(what: str, value: float, step: int, sources: Sequence[str]) -> InputError:
    """The error of a number that is not finite, with the step and the rows it came from."""
    named = ", ".join(sources[:_NAMED]) + (f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else "")
    return InputError(
        Problem(
            f"the {what} is {value} at step {step}, on the rows {named}: training needs a finite number",
            "set a lower train.learning_rate or train.precision: fp32; where the first step fails, look at the base "
            "model's weights",
            sources[0] if sources else "",
        )
    )
