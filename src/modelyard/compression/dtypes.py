"""Bytes of weights in each dtype, counted inside the file: what was really quantised."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from modelyard.engines.telemetry import without_telemetry


def count_dtypes(folder: Path, artefact: Sequence[str]) -> dict[str, int]:
    """Bytes per dtype (`float32`, `int8`, …) of a candidate's weights, most bytes first.

    Args:
        folder: the candidate's folder.
        artefact: its files, of which one is `.onnx` or `.xml`.
    """
    graph = folder / next(name for name in artefact if name.endswith((".onnx", ".xml")))
    counts: Counter[str] = Counter()
    for dtype, size in _onnx_weights(graph) if graph.suffix == ".onnx" else _openvino_weights(graph):
        counts[dtype] += size
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _onnx_weights(path: Path) -> Iterator[tuple[str, int]]:
    graph = onnx.load(str(path), load_external_data=False).graph
    tensors = list(graph.initializer)
    tensors += [
        attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.HasField("t")
    ]
    for tensor in tensors:
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        dtype = {"float": "float32", "double": "float64"}.get(name, name)
        bits = 4 if dtype in ("int4", "uint4") else 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        yield dtype, math.ceil(math.prod(tensor.dims) * bits / 8)


def _openvino_weights(path: Path) -> Iterator[tuple[str, int]]:
    with without_telemetry():
        import openvino
    for node in openvino.Core().read_model(path).get_ops():
        if node.get_type_name() == "Constant":
            yield node.get_element_type().to_dtype().name, node.get_byte_size()
