"""An OpenVINO IR run on the CPU, always in f32 where it is not int8."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.engines.base import Logits, Row
from modelyard.engines.padding import check_inputs, pad, read_pad_id, read_positions
from modelyard.engines.telemetry import without_telemetry
from modelyard.errors import InputError, Problem

with without_telemetry():
    import openvino


LENGTH_STEP = 8
"""Batches are padded to a multiple of 8 tokens. OpenVINO prepares and keeps kernels for every shape it meets: with all
lengths of the demo's reviews a service grew to 1,160 MB and answered 358 rows/s, with every eighth 450 MB and 418."""


def cpu_properties(threads: int | None) -> dict[str, Any]:
    """What the CPU plugin is told.

    f32: by itself it takes bf16 on a CPU that has it, which was 1.4 times slower here and changes answers
    (findings.md 1). One stream: a batch uses all threads, as the service runs one batch at a time.
    """
    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    return properties


def rounded_length(longest: int, positions: int) -> int:
    """The next multiple of 8 tokens, where the model has places for it, else just the longest row.

    Args:
        longest: tokens of the longest row.
        positions: of the model, 0 for no limit. Some start counting at 2 (RoBERTa: 514 places for 512 tokens), so
            that only whole steps of 8 are taken for usable.
    """
    rounded = -(-longest // LENGTH_STEP) * LENGTH_STEP
    usable = positions - positions % LENGTH_STEP
    return rounded if not positions or rounded <= usable else longest


class OpenvinoEngine:
    """Runs one IR (`.xml` and `.bin`); `threads` None leaves OpenVINO's own number."""

    def __init__(self, folder: Path, artefact: Sequence[str], *, threads: int | None = None) -> None:
        path = folder / next((name for name in artefact if name.endswith(".xml")), "model.xml")
        self._pad_id, self._positions = read_pad_id(folder), read_positions(folder)
        core = openvino.Core()
        try:
            model = core.read_model(path)
            names = [port.get_any_name() for port in model.inputs]
            check_inputs(names, path)
            compiled = core.compile_model(model, "CPU", cpu_properties(threads))
        except RuntimeError as error:
            last_line = str(error).strip().rpartition("\n")[2]
            raise InputError(
                Problem(f"{path.name} cannot be loaded: {last_line}", "run `modelyard compress` again", str(path))
            ) from error
        self._names = names
        self._request: openvino.InferRequest | None = compiled.create_infer_request()

    def run(self, rows: Sequence[Row]) -> Logits:
        """Logits of one batch, shape (rows, labels)."""
        if self._request is None:
            raise ValueError("the engine is closed")
        arrays = pad(rows, self._pad_id, rounded_length(max(map(len, rows), default=0), self._positions))
        self._request.infer({name: arrays[name] for name in self._names})
        return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)  # a copy: the tensor is reused

    def close(self) -> None:
        """Let go of the compiled model."""
        self._request = None
