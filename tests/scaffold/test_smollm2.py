"""Unpacking a GGUF file written here by llama.cpp's own library out of a tiny Llama: the same answers come out."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from modelyard.artifacts.model import check_model_folder
from modelyard.errors import InputError
from modelyard.scaffold.smollm2 import NAMES, OUTSIDE, PACKED, halves, unpack

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def alphabet() -> list[str]:
    """The characters that stand for the 256 bytes in GPT-2's vocabulary."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def permuted(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """As llama.cpp's convert_hf_to_gguf.py (`LlamaModel.permute`) orders queries and keys."""
    rows, inputs = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, inputs).swapaxes(1, 2).reshape(rows, inputs)


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=261,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def packed(model: LlamaForCausalLM, tmp_path: Path) -> Path:
    folder = tmp_path / "smol"
    folder.mkdir()
    writer = gguf.GGUFWriter(folder / PACKED, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(261)
    writer.add_token_list(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet(), "Ġa", "Ġab"])
    writer.add_token_types([3] * 3 + [1] * 258)
    writer.add_token_merges(["Ġ a", "Ġa b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    parts = {ours: theirs for theirs, ours in NAMES.items()}
    outside = {ours: theirs for theirs, ours in OUTSIDE.items()}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":  # the embedding
            continue
        values = weight.numpy()
        if name in outside:
            stored = outside[name]
        else:
            _, _, layer, *part, _ = name.split(".")
            stored = f"blk.{layer}.{parts['.'.join(part)]}.weight"
        if "q_proj" in name or "k_proj" in name:
            values = permuted(values, 4 if "q_proj" in name else 2)
        if name == "model.layers.1.mlp.up_proj.weight":
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(stored, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(stored, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder


def test_the_same_answers_come_out(packed: Path, model: LlamaForCausalLM) -> None:
    unpack(packed)
    check_model_folder(packed)
    assert not (packed / PACKED).exists()
    again = AutoModelForCausalLM.from_pretrained(packed, local_files_only=True).eval()
    up = again.model.layers[1].mlp.up_proj.weight
    torch.testing.assert_close(up, model.model.layers[1].mlp.up_proj.weight, rtol=0, atol=0.01)  # eight bits
    with torch.inference_mode():
        up.copy_(model.model.layers[1].mlp.up_proj.weight)
        ids = torch.tensor([[5, 77, 3, 250, 9, 130]])
        torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=0, atol=1e-5)


def test_the_tokenizer_and_its_template(packed: Path) -> None:
    unpack(packed)
    tokenizer = AutoTokenizer.from_pretrained(packed, local_files_only=True)
    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet(), "Ġa", "Ġab"]
    assert [pieces[number] for number in tokenizer("b abc 12<|im_end|>")["input_ids"]] == [
        *("b", "Ġab", "c", "Ġ", "1", "2", "<|im_end|>")
    ]
    assert tokenizer.decode(tokenizer("你好 a")["input_ids"]) == "你好 a"
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (
        "<|im_end|>",
        "<|im_end|>",
        "<|im_start|>",
    )
    written = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert written == "<|im_start|>user\nhi<|im_end|>\n"


def test_halves_undo_the_order_of_llama_cpp() -> None:
    weights = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    np.testing.assert_array_equal(halves(permuted(weights, 3), 3), weights)


@pytest.mark.parametrize("keep", [0, 3, 200, 20_000])
def test_a_file_that_is_cut_off(packed: Path, keep: int) -> None:
    whole = (packed / PACKED).read_bytes()
    assert keep < len(whole)
    (packed / PACKED).write_bytes(whole[:keep])
    with pytest.raises(InputError, match="cut off or of another format"):
        unpack(packed)
