from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from modelyard.compression.dtypes import count_dtypes


def test_counts_initialisers_and_constants(tmp_path: Path) -> None:
    tensors = [
        helper.make_tensor("weights", TensorProto.INT8, [4, 5], bytes(20), raw=True),
        helper.make_tensor("scales", TensorProto.FLOAT, [5], [1.0] * 5),
        helper.make_tensor("halves", TensorProto.INT4, [3], [1, 2, 3]),
    ]
    constant = helper.make_node(
        "Constant", [], ["one"], value=helper.make_tensor("one", TensorProto.DOUBLE, [2], [1.0, 2.0])
    )
    number = helper.make_node("Constant", [], ["two"], value_float=2.0)
    graph = helper.make_graph([constant, number], "g", [], [], tensors)
    onnx.save(helper.make_model(graph), str(tmp_path / "model.onnx"))
    assert list(count_dtypes(tmp_path, ["model.onnx"]).items()) == [
        ("float32", 20),
        ("int8", 20),
        ("float64", 16),
        ("int4", 2),
    ]


def test_the_export_is_float_and_the_others_are_int8(compressed: Any) -> None:
    candidates: Path = compressed.candidates
    float_bytes = count_dtypes(candidates / "onnx-fp32", ["model.onnx"])["float32"]
    # 1 byte for each of 4: 43 x 32 words, 64 x 32 positions, 2 x (4 x 32 x 32 + 2 x 32 x 64) in the layers, the pooler
    matrices = 43 * 32 + 64 * 32 + 2 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32
    assert 4 * matrices < float_bytes < 4 * matrices * 1.1
    static = count_dtypes(candidates / "openvino-int8-static", ["model.xml", "model.bin"])
    assert static["int8"] >= matrices - 32 * 32
    dynamic = count_dtypes(candidates / "onnx-int8-dynamic", ["model.onnx"])
    assert dynamic["int8"] + dynamic["uint8"] >= matrices - 32 * 32
