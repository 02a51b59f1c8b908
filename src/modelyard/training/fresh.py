"""A model from its config alone: counted before a byte of it is allocated, then drawn from a seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from modelyard.errors import InputError, Problem
from modelyard.training.memory import TRAINED_BYTES, TRIED_BYTES, free_bytes
from modelyard.training.place import own_place

LOADED_BYTES = 4
"""Of a weight in fp32."""
MOST_TENSORS = 1_000_000
"""61 layers of 256 experts of three matrices each, as in DeepSeek-V3's config, make 47 thousand."""


def draw(auto: Any, folder: Path, *, seed: int, special: Mapping[str, int], **named: Any) -> PreTrainedModel:  # noqa: ANN401  (of transformers' Auto classes)
    """The model of a folder's config in fp32, its weights drawn as transformers draws them.

    Args:
        auto: class of transformers that makes it: `AutoModelForCausalLM` and its like.
        folder: with `config.json`.
        seed: of the weights.
        special: ids of special tokens, by their names in a config; one that the vocabulary lacks is left to be refused
            with the whole tokenizer.
        named: settings that go before those of the config.

    Raises:
        InputError: it needs more memory than is free.
        Exception: whatever transformers raises of a config that it cannot use.
    """
    config = read_config(folder, **named)
    for name, number in special.items():
        if number < getattr(config, "vocab_size", number + 1):
            setattr(config, name, number)
    check_fits(auto, config, folder, _needed_bytes())
    torch.manual_seed(seed)
    model: PreTrainedModel = auto.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return model


def _needed_bytes() -> int:
    """Of a weight by a training of this process alone; of several each may hold a part only."""
    if own_place().size > 1:
        return LOADED_BYTES
    return TRAINED_BYTES if torch.cuda.is_available() else TRIED_BYTES


def read_config(folder: Path, **named: Any) -> PretrainedConfig:  # noqa: ANN401
    """The config of a folder; no code of it is run.

    Args:
        folder: with `config.json`.
        named: settings that go before those of the config.
    """
    config: PretrainedConfig = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, **named
    )
    return config


def check_fits(auto: Any, config: PretrainedConfig, folder: Path, bytes_a_weight: int) -> None:  # noqa: ANN401
    """Refuse a config whose weights and buffers the memory does not hold. None is allocated: torch's device `meta`.

    Args:
        auto: as in `draw`.
        config: of the model.
        folder: that it is from.
        bytes_a_weight: that each will need.

    Raises:
        InputError: it does.
    """
    device = torch.device("cuda" if torch.cuda.is_available() and bytes_a_weight == TRAINED_BYTES else "cpu")
    free = free_bytes(device)
    count = beside = tensors = 0

    def refuse_more(weights: int, buffers: int) -> None:
        if weights * bytes_a_weight + buffers > free or tensors > MOST_TENSORS:
            raise InputError(_too_large(weights, tensors, bytes_a_weight, buffers, free, folder))

    def registered(module: torch.nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal count, beside, tensors
        if tensor is None:
            return
        tensors += 1
        if isinstance(tensor, torch.nn.Parameter):
            count += tensor.numel()
        else:
            beside += tensor.nbytes
        refuse_more(count // 2, beside // 2)  # input and output embeddings may turn out to be one

    handles = (
        register_module_parameter_registration_hook(registered),
        register_module_buffer_registration_hook(registered),
    )
    try:
        with torch.device("meta"):
            model = auto.from_config(config, dtype=torch.float32, trust_remote_code=False)
    finally:
        for handle in handles:
            handle.remove()
    refuse_more(sum(weight.numel() for weight in model.parameters()), sum(buffer.nbytes for buffer in model.buffers()))


def _too_large(weights: int, tensors: int, bytes_a_weight: int, buffers: int, free: int, folder: Path) -> Problem:
    message = (
        f"config.json asks for at least {weights:,} weights in {tensors:,} tensors: "
        f"{weights * bytes_a_weight / 1e9:.1f} GB at {bytes_a_weight} bytes each, {buffers / 1e9:.1f} GB of buffers, "
        f"and {free / 1e9:.1f} GB are free"
    )
    return Problem(message, "set smaller sizes in config.json, or take a machine with more memory", str(folder))
