from pathlib import Path

import numpy as np
import pytest

from modelyard.engines.onnx_engine import OnnxEngine
from modelyard.errors import InputError


def test_answers_by_hand(sums: Path) -> None:
    engine = OnnxEngine(sums, ["model.onnx"], threads=1)
    logits = engine.run([[2, 5, 3], [4, 3]])
    np.testing.assert_array_equal(logits, [[3, 10], [2, 7]])
    assert logits.dtype == np.float32
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.run([[1]])


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"model\.onnx cannot be loaded"):
        OnnxEngine(tmp_path, ["model.onnx"])


def test_a_model_of_something_else_is_refused(strange: Path) -> None:
    with pytest.raises(InputError, match="pixels"):
        OnnxEngine(strange, ["model.onnx"])
