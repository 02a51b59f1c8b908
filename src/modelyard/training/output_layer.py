"""Only the places whose token is learned go through the output layer, a fifth of a small language model's work.

The loss keeps their logits in the format in which the layer gave them and nothing else as large: torch's own keeps the
logarithms of their softmax in fp32, in bf16 twice the bytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from modelyard.tasks.classification import losses
from modelyard.training.classifier import TOKENS_PER_FORWARD

LOGITS_BYTES = 512 * 1024**2
"""Of one forward pass in fp32; the backward pass takes as much again."""
_PART_BYTES_ON_A_CPU = 4 * 1024**2
"""Of the softmax in fp32 that is taken at a time: what the cache holds. 1,500 places of 49,152 tokens, forward
and backward: 89 ms, 154 with torch's own loss (two cores)."""
_PART_BYTES_ELSEWHERE = 128 * 1024**2
"""Few enough kernels that starting them costs little, and a quarter of `LOGITS_BYTES`; not measured."""


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
    found: torch.Tensor = _Losses.apply(logits, torch.from_numpy(targets).to(logits.device))  # type: ignore[no-untyped-call]
    return found.new_zeros(rows).index_add(0, torch.from_numpy(owners).to(logits.device), found)


class _Losses(torch.autograd.Function):
    """`losses`, whose gradient, the softmax less 1 at the target, is computed from the logits again."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        ctx.places = _places_at_a_time(logits)
        parts = zip(torch.split(logits, ctx.places), torch.split(targets, ctx.places), strict=True)
        found = torch.cat([losses(*part) for part in parts])
        ctx.save_for_backward(logits, targets)
        return found

    @staticmethod
    def backward(ctx: Any, losses_gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        logits, targets = ctx.saved_tensors
        logits_gradient = torch.empty_like(logits)
        split = [torch.split(one, ctx.places) for one in (logits, targets, losses_gradient, logits_gradient)]
        for part, part_targets, part_losses_gradient, part_gradient in zip(*split, strict=True):
            softmax = torch.softmax(part, dim=1, dtype=part_losses_gradient.dtype)
            softmax[torch.arange(len(part), device=part.device), part_targets] -= 1
            part_gradient.copy_(softmax.mul_(part_losses_gradient[:, None]))
        return logits_gradient, None


def _places_at_a_time(logits: torch.Tensor) -> int:
    """At least one for each thread."""
    part = _PART_BYTES_ON_A_CPU if logits.device.type == "cpu" else _PART_BYTES_ELSEWHERE
    return max(torch.get_num_threads(), part // (4 * logits.shape[1]))


def tokens_per_forward(model: PreTrainedModel) -> int:
    """The most tokens of a forward pass, so that neither the activations nor the logits fill the memory."""
    vocabulary: int = model.get_input_embeddings().num_embeddings
    return max(1, min(TOKENS_PER_FORWARD, LOGITS_BYTES // (4 * vocabulary)))
