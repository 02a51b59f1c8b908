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
_TOGETHER = {"cpu": 16}
"""Places whose softmax is taken at a time: on a CPU so few that they stay in its cache. 1,500 places of 49,152 tokens,
forward and backward: 89 ms, 154 with torch's own loss (two cores)."""
_TOGETHER_ELSEWHERE = 1_024


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
        together = _TOGETHER.get(logits.device.type, _TOGETHER_ELSEWHERE)
        parts = zip(torch.split(logits, together), torch.split(targets, together), strict=True)
        found = torch.cat([losses(some, wanted) for some, wanted in parts])
        ctx.save_for_backward(logits, targets, found)
        ctx.together = together
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        logits = ctx.saved_tensors[0]
        given = torch.empty_like(logits)
        all_parts = [torch.split(one, ctx.together) for one in (*ctx.saved_tensors, gradient, given)]
        for some, wanted, lost, share, into in zip(*all_parts, strict=True):
            softmax, targets = some.to(lost.dtype, copy=True), (torch.arange(len(some), device=some.device), wanted)
            level = softmax[targets] + lost  # the logarithm of the sum of exponentials
            softmax.sub_(level[:, None]).exp_()
            softmax[targets] -= 1
            into.copy_(softmax.mul_(share[:, None]))
        return given, None


def tokens_per_forward(model: PreTrainedModel) -> int:
    """The most tokens of a forward pass, so that neither the activations nor the logits fill the memory."""
    vocabulary: int = model.get_input_embeddings().num_embeddings
    return max(1, min(TOKENS_PER_FORWARD, LOGITS_BYTES // (4 * vocabulary)))
