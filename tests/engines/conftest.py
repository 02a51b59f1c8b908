"""Models small enough to check by hand: logits are [number of tokens, sum of the token ids]."""

import json
from pathlib import Path

import pytest


def _write_sums(folder: Path, inputs: tuple[str, ...]) -> None:
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        helper.make_node("ReduceSum", ["attention_mask", "one"], ["tokens"], keepdims=1),
        helper.make_node("ReduceSum", ["kept", "one"], ["ids"], keepdims=1),
        helper.make_node("Concat", ["tokens", "ids"], ["both"], axis=1),
        helper.make_node("Cast", ["both"], ["logits"], to=TensorProto.FLOAT),
    ]
    if "token_type_ids" in inputs:  # ids of another type would be added on top
        nodes.insert(0, helper.make_node("Add", ["attention_mask", "token_type_ids"], ["with_types"]))
        nodes[2].input[0] = "with_types"
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 9}))


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model.onnx` and the same model as `model.xml` and `model.bin`; its padding token is 9."""
    from modelyard.engines.telemetry import without_telemetry

    folder = tmp_path_factory.mktemp("sums")
    _write_sums(folder, ("input_ids", "attention_mask", "token_type_ids"))
    with without_telemetry():
        import openvino
    openvino.save_model(openvino.Core().read_model(folder / "model.onnx"), folder / "model.xml")
    return folder


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder whose model asks for `pixels` too."""
    _write_sums(tmp_path, ("input_ids", "attention_mask", "pixels"))
    return tmp_path
