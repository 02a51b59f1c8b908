"""ONNX Runtime's dynamic int8: weights are int8, activations are quantised while it runs."""

from collections.abc import Sequence
from pathlib import Path

from modelyard.engines.quiet import quietly
from modelyard.engines.telemetry import without_telemetry

with without_telemetry():
    from onnxruntime.quantization import QuantType, quantize_dynamic

FILE_NAME = "model.onnx"
INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
"""CPU flags whose int8 products add up in 32 bits; without one of them a sum of two products can overflow 16 bits."""


def can_overflow(cpu_flags: Sequence[str]) -> bool:
    """Whether int8 products may overflow on this CPU, so that weights must keep to 7 bits.

    Source: onnxruntime.ai, Quantize ONNX models, "when to use reduce-range".
    """
    return not INT8_FLAGS & set(cpu_flags)


def quantise_dynamic(model: Path, folder: Path, *, cpu_flags: Sequence[str]) -> list[str]:
    """Write `model.onnx` with int8 weights, one scale per output channel.

    Args:
        model: the fp32 export.
        folder: where it is written.
        cpu_flags: of this machine; they decide whether weights keep to 7 bits.

    Returns:
        Names of the files written.
    """
    external = (model.with_name(model.name + ".data")).exists()
    with quietly():
        quantize_dynamic(
            model,
            folder / FILE_NAME,
            per_channel=True,
            reduce_range=can_overflow(cpu_flags),
            weight_type=QuantType.QInt8,
            use_external_data_format=external,
            extra_options={"MatMulConstBOnly": True},  # products of two activations stay in fp32
        )
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(FILE_NAME))
