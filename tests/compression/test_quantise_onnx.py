from pathlib import Path
from typing import Any

import pytest

from modelyard.compression.dtypes import count_dtypes
from modelyard.compression.quantise_onnx import can_overflow, quantise_dynamic


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["avx2", "avx512f"], True),
        ([], True),
        (["avx2", "avx_vnni"], False),
        (["avx512_vnni"], False),
        (["i8mm"], False),
    ],
)
def test_only_a_cpu_without_vnni_can_overflow(flags: list[str], expected: Any) -> None:
    assert can_overflow(flags) is expected


@pytest.mark.parametrize(("flags", "largest"), [(["avx512_vnni"], 127), (["avx2"], 64)])
def test_the_range_of_weights_follows_the_cpu(compressed: Any, tmp_path: Path, flags: list[str], largest: int) -> None:
    import onnx

    files = quantise_dynamic(compressed.candidates / "onnx-fp32" / "model.onnx", tmp_path, cpu_flags=flags)
    assert files == ["model.onnx"]
    assert "int8" in count_dtypes(tmp_path, files)
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    peaks = [
        abs(onnx.numpy_helper.to_array(tensor).astype(int)).max()
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2
    ]
    assert max(peaks) == largest


def test_equal_work_gives_equal_bytes(compressed: Any, tmp_path: Path) -> None:
    from modelyard.artifacts.reports import cpu_flags

    quantise_dynamic(compressed.candidates / "onnx-fp32" / "model.onnx", tmp_path, cpu_flags=cpu_flags())
    first = compressed.candidates / "onnx-int8-dynamic" / "model.onnx"
    assert (tmp_path / "model.onnx").read_bytes() == first.read_bytes()
