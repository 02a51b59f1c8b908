"""Only the places whose token is learned go through the output layer, a fifth of a small language model's work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from modelyard.tasks.classification import losses
from modelyard.training.classifier import TOKENS_PER_FORWARD

LOGITS_BYTES = 512 * 1024**2
"""Of one forward pass in fp32; the backward pass takes as much again, and the softmax too."""


@contextmanager
def only(called: torch.nn.Module, places: torch.Tensor) -> Iterator[None]:
    """Give only some places to the output layer, whatever the model does with the logits after.

    Args:
        called: the model, or what adds up its gradients over several processes.
        places: true where the hidden state is wanted, shape (lines, width); logits are then (wanted, vocabulary).
    """
    model = cast("PreTrainedModel", called.module if isinstance(called, DistributedDataParallel) else called)
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, given: (given[0][places], *given[1:]))
    try:
        yield
    finally:
        handle.remove()


def summed_losses(
    logits: torch.Tensor, targets: NDArray[np.int64], owners: NDArray[np.int64], rows: int
) -> torch.Tensor:
    """Cross-entropy in nats added up for each row, shape (rows,).

    Args:
        logits: shape (judged, vocabulary).
        targets: the token wanted at each place, shape (judged,).
        owners: whose place it is, from 0, shape (judged,).
        rows: how many there are.
    """
    found = losses(logits, torch.from_numpy(targets).to(logits.device))
    return found.new_zeros(rows).index_add(0, torch.from_numpy(owners).to(logits.device), found)


def tokens_per_forward(model: PreTrainedModel) -> int:
    """The most tokens of a forward pass, so that neither the activations nor the logits fill the memory."""
    vocabulary: int = model.get_input_embeddings().num_embeddings
    return max(1, min(TOKENS_PER_FORWARD, LOGITS_BYTES // (4 * vocabulary)))
