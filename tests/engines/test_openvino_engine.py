from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.engines.openvino_engine import OpenvinoEngine, cpu_properties, rounded_length
from modelyard.errors import InputError

FILES = ["model.xml", "model.bin"]


def test_answers_by_hand_at_any_batch_and_length(sums: Path) -> None:
    engine = OpenvinoEngine(sums, FILES, threads=1)
    first = engine.run([[2, 5, 3], [4, 3]])
    np.testing.assert_array_equal(engine.run([[1, 1, 1, 1, 1]]), [[5, 5]])
    np.testing.assert_array_equal(first, [[3, 10], [2, 7]])  # not overwritten by the second answer
    assert first.dtype == np.float32
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.run([[1]])


def test_always_f32() -> None:
    assert cpu_properties(None)["INFERENCE_PRECISION_HINT"] == "f32"
    assert cpu_properties(3)["INFERENCE_NUM_THREADS"] == 3


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.xml").write_text("<net")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"model\.xml cannot be loaded"):
        OpenvinoEngine(tmp_path, FILES)


def test_a_model_of_something_else_is_refused(strange: Path) -> None:
    with pytest.raises(InputError, match="pixels"):
        OpenvinoEngine(strange, [_as_ir(strange)])


def _as_ir(folder: Path) -> Any:
    import openvino

    openvino.save_model(openvino.Core().read_model(folder / "model.onnx"), folder / "model.xml")
    return "model.xml"


@pytest.mark.parametrize(
    ("longest", "positions", "length"),
    [
        (1, 512, 8),
        (8, 512, 8),
        (9, 512, 16),
        (505, 512, 512),
        (513, 514, 513),
        (97, 100, 97),
        (90, 100, 96),
        (9, 0, 16),
    ],
)
def test_lengths_go_in_steps_of_eight_as_far_as_the_model_has_places(longest: int, positions: int, length: int) -> None:
    assert rounded_length(longest, positions) == length
