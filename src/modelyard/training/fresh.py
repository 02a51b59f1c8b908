"""A model from its config alone: counted before a byte of it is allocated, then drawn from a seed."""

import os
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from modelyard.errors import InputError, Problem
from modelyard.training.memory import TRAINED_BYTES, free_bytes

LOADED_BYTES = 4
"""Of a weight in fp32."""
MOST_TENSORS = 1_000_000
"""61 layers of 256 experts of three matrices each, as in DeepSeek-V3's config, make 47 thousand."""


def draw(auto: Any, folder: Path, *, seed: int, **named: Any) -> PreTrainedModel:  # noqa: ANN401  (of transformers' Auto classes)
    """The model of a folder's config in fp32, its weights drawn as transformers draws them.

    Args:
        auto: class of transformers that makes it: `AutoModelForCausalLM` and its like.
        folder: with `config.json`.
        seed: of the weights.
        named: settings that go before those of the config.

    Raises:
        InputError: it needs more memory than is free.
        Exception: whatever transformers raises of a config that it cannot use.
    """
    config = read_config(folder, **named)
    # of several processes each may hold a part only
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    check_fits(auto, config, folder, TRAINED_BYTES if alone else LOADED_BYTES)
    torch.manual_seed(seed)
    model: PreTrainedModel = auto.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return model


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
    """Refuse a config that asks for more weights than the memory holds. None is allocated: torch's device `meta`.

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
    count = tensors = 0

    def refuse_more(weights: int) -> None:
        if weights * bytes_a_weight > free or tensors > MOST_TENSORS:
            raise InputError(_too_large(weights, tensors, bytes_a_weight, free, folder))

    def registered(module: torch.nn.Module, name: str, weight: torch.nn.Parameter) -> None:
        nonlocal count, tensors
        count, tensors = count + weight.numel(), tensors + 1
        refuse_more(count // 2)  # input and output embeddings may turn out to be one

    handle = register_module_parameter_registration_hook(registered)
    try:
        with torch.device("meta"):
            model = auto.from_config(config, dtype=torch.float32, trust_remote_code=False)
    finally:
        handle.remove()
    refuse_more(sum(weight.numel() for weight in model.parameters()))


def _too_large(weights: int, tensors: int, bytes_a_weight: int, free: int, folder: Path) -> Problem:
    needed = weights * bytes_a_weight
    message = (
        f"config.json asks for at least {weights:,} weights in {tensors:,} tensors: {needed / 1e9:.1f} GB at "
        f"{bytes_a_weight} bytes each, and {free / 1e9:.1f} GB are free"
    )
    return Problem(message, "set smaller sizes in config.json, or take a machine with more memory", str(folder))
