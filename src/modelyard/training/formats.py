"""The number format of a pass through the model: weights, their gradients and the optimiser's moments stay in fp32.

In bf16 the whole pass is: each weight is cast once a pass, and what lies between the layers is bf16 too, as in FSDP's
and DeepSpeed's mixed precision. Under torch's autocast, which casts at the matrix products alone, the residual stream
and the norms stay fp32, in twice the memory. What is added up over many places, norms, softmax and losses, torch's
kernels and transformers' models add up in fp32.

fp16 ends at 65,504, which a residual stream passes: autocast keeps it in fp32.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, TypeVar

import torch
from torch.func import functional_call

from modelyard.errors import InputError, Problem
from modelyard.training.sharding import is_sharded

Precision = Literal["fp32", "bf16", "fp16"]
_READ = "rel_embeddings"
"""The table of distances of DeBERTa, whose weight is read where others are called."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Found = TypeVar("Found")


def in_format(called: torch.nn.Module, precision: Precision, work: Callable[[], Found]) -> Found:
    """What some work gives that passes forward through a model, and backward where it wants gradients.

    Args:
        called: the model, or what adds up its gradients over several processes; weights in fp32.
        precision: of the pass. A sharded model's bf16 is autocast's: its weights are gathered in fp32.
        work: both passes, since layers that are computed again are computed in the second.

    Raises:
        InputError: an operation of the model does not take bf16 beside what it keeps in fp32.
    """
    if precision == "bf16" and not is_sharded(called):
        return _in_bf16(called, work)
    device = next(called.parameters()).device
    # a cached copy of every weight, kept until both passes are done, would make a sharded model whole
    cached = not is_sharded(called)
    with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32", cache_enabled=cached):
        return work()


class _Within(torch.nn.Module):
    """Does what it is given, so that `functional_call` puts other weights into the model for as long."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Found]) -> Found:
        return work()


def _in_bf16(called: torch.nn.Module, work: Callable[[], Found]) -> Found:
    """With every weight cast but those of embeddings, whose output is.

    A token's gradient is added up over all its places, in the format of the weight: in bf16 1 + 1/256 is 1.
    """
    within, cast = _Within(called), dict[str, torch.Tensor]()
    with ExitStack() as hooks:
        for place, module in within.named_modules():
            if isinstance(module, torch.nn.Embedding) and not place.endswith(_READ):
                hooks.callback(module.register_forward_hook(_output_in_bf16).remove)
                continue
            for name, weight in module.named_parameters(recurse=False):
                if weight.dtype == torch.float32:
                    cast[f"{place}.{name}"] = weight.to(torch.bfloat16)
        try:
            found: Found = functional_call(within, cast, (work,), tie_weights=False)
        except RuntimeError as error:
            if "dtype" not in str(error):
                raise
            message = f"this model takes no step in bf16: {str(error).splitlines()[0]}"
            raise InputError(Problem(message, "set train.precision: fp32", "modelyard.yaml")) from error
    return found


def _output_in_bf16(module: torch.nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    return output.to(torch.bfloat16)
