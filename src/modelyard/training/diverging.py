"""A training whose losses stay finite and get worse than those of a model that has learned nothing: it is told."""

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from modelyard.training.batches import Rows
from modelyard.training.objective import Objective

CLEARLY = 1.1
"""Times the loss without training: a new head begins a few hundredths above it, and a high rate's first steps too."""
log = logging.getLogger(__name__)


def loss_without_training(
    model: PreTrainedModel, validation: Rows, objective: Objective, before: NDArray[np.float32] | None
) -> float:
    """The mean loss on validation that is to be had for nothing, in nats.

    That of the base model, where its outputs are known; else of an answer that gives everything the same chance.

    Args:
        model: as it is trained.
        validation: rows.
        objective: that is minimised.
        before: outputs of the base model for the rows, shape (rows, width).
    """
    if before is None and (head := model.get_output_embeddings()) is not None:
        return math.log(head.weight.shape[0])  # of a token
    outputs = np.zeros((len(validation.ids), objective.width(model)), np.float32) if before is None else before
    losses, _ = objective.judged(outputs, validation)
    return float(losses.sum() / validation.weights.sum())


def warned(history: Sequence[Mapping[str, float]], untrained_loss: float, learning_rate: float) -> dict[str, float]:
    """Warn where the last evaluation is the first, or the first again, at which a training diverges.

    Both losses must say so: a model that learns its train rows by heart does worse on validation, but not on them.

    Args:
        history: as in `Course`, the last evaluation included.
        untrained_loss: from `loss_without_training`.
        learning_rate: of the last step.

    Returns:
        The figure that the metrics say so by; none where all is well.
    """
    now, before = history[-1], history[-2] if len(history) > 1 else None
    if not _diverges(now, untrained_loss):
        return {}
    if before is None or not _diverges(before, untrained_loss):
        log.warning(
            "at step %d the loss is %.3g, on validation %.3g, and %.3g without any training: it diverges at a learning "
            "rate of %.2g. Next: stop it, set a lower train.learning_rate and remove its checkpoints, or wait whether "
            "it recovers",
            now["step"],
            now["train_loss"],
            now["validation_loss"],
            untrained_loss,
            learning_rate,
        )
    return {"untrained_loss": untrained_loss}


def _diverges(figures: Mapping[str, float], untrained_loss: float) -> bool:
    return min(figures["train_loss"], figures["validation_loss"]) > CLEARLY * untrained_loss
