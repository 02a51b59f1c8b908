"""NNCF's static int8 for OpenVINO: the ranges of activations are learnt from rows of the train split."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.compression.quantise_onnx import can_overflow
from modelyard.engines.base import Row
from modelyard.engines.quiet import quietly
from modelyard.engines.telemetry import without_telemetry

with without_telemetry():
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

CALIBRATION_ROWS = 300  # NNCF's default
NAMES = ["model.xml", "model.bin"]


def quantise_static(model: Path, folder: Path, rows: Sequence[Row], *, cpu_flags: Sequence[str]) -> list[str]:
    """Write `model.xml` and `model.bin` with int8 weights and int8 activations between them.

    NNCF's preset for transformers; it runs the model in f32 while it watches (nncf 3.4 `openvino/engine.py`).

    Args:
        model: the fp32 export.
        folder: where it is written.
        rows: encoded rows of the train split, each seen alone, so that no padding enters a range.
        cpu_flags: of this machine; they decide whether weights keep to half their range against overflow.

    Returns:
        Names of the files written.
    """
    with quietly():
        quantised = nncf.quantize(
            openvino.Core().read_model(model),
            nncf.Dataset(list(rows), _inputs),
            subset_size=len(rows),
            model_type=nncf.ModelType.TRANSFORMER,
            target_device=nncf.TargetDevice.CPU,
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE if can_overflow(cpu_flags) else OverflowFix.DISABLE
            ),
        )
    _name_in_order(quantised)
    openvino.save_model(quantised, folder / NAMES[0], compress_to_fp16=False)
    return list(NAMES)


def _inputs(row: Row) -> dict[str, NDArray[np.int64]]:
    input_ids = np.array([row], dtype=np.int64)
    return {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids)}


def _name_in_order(model: "openvino.Model") -> None:
    """OpenVINO names new nodes by a counter of the process: named by their order instead, equal work is equal bytes."""
    for index, node in enumerate(model.get_ordered_ops()):
        if node.get_type_name() not in ("Parameter", "Result"):
            node.set_friendly_name(f"{node.get_type_name()}_{index}")
