"""Model folders that lie about themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelyard.artifacts.files import write_json
from modelyard.artifacts.model import Training, check_model_folder, read_training
from modelyard.errors import InputError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A whole model folder with two tensors of 8 and 12 bytes."""
    save_file({"a": np.zeros(2, np.float32), "b": np.ones(3, np.float32)}, tmp_path / "model.safetensors")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    return tmp_path


def with_header(header: Any, body: int) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(body)


def tensor(*offsets: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [1], "data_offsets": list(offsets)}


def test_a_whole_one_passes(model: Path) -> None:
    check_model_folder(model)
    (model / "model.safetensors").write_bytes(with_header({"__metadata__": {"format": "pt"}, "a": tensor(0, 4)}, 4))
    check_model_folder(model)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x00",
        (2**62).to_bytes(8, "little") + b"{}",
        (0).to_bytes(8, "little"),
        b"\x02" + bytes(7) + b"[]",
        b"\x02" + bytes(7) + b"\xff\xff",
        with_header({"a": tensor(0, 400)}, 4),
        with_header({"a": tensor(0, 4)}, 8),
        with_header({"a": tensor(0, 4), "b": tensor(0, 4)}, 4),
        with_header({"a": tensor(0, 4), "b": tensor(8, 12)}, 12),
        with_header({"a": tensor(4, 0), "b": tensor(0, 4)}, 4),
        with_header({"a": tensor("0", 4)}, 4),
        with_header({"a": tensor(0, 4), "b": tensor("x", "y")}, 4),
        with_header({"a": tensor(0)}, 4),
        with_header({"a": {"dtype": "F32"}}, 4),
        with_header({"a": 3}, 4),
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
)
def test_a_header_that_lies_is_refused(model: Path, content: bytes) -> None:
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="not a whole safetensors file"):
        check_model_folder(model)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.BIN").write_bytes(b"\x80\x02")
    with pytest.raises(InputError) as caught:
        check_model_folder(tmp_path)
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    for word in ("pytorch_model.BIN", "no .safetensors", "config.json", "tokenizer.json"):
        assert word in text
    with pytest.raises(InputError, match="does not exist"):
        check_model_folder(tmp_path / "nowhere")


def test_training_comes_back_as_written(tmp_path: Path) -> None:
    training = Training(
        task="classification",
        labels=["坏", "好"],
        base="sha256:b",
        prepared="sha256:p",
        max_length_tokens=64,
        settings={"epochs": 1},
        history=[{"step": 1.0}],
        best_step=1,
    )
    write_json(tmp_path / "training.json", training)
    assert read_training(tmp_path) == training
    with pytest.raises(InputError, match="modelyard train"):
        read_training(tmp_path / "nowhere")
