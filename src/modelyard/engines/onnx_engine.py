"""An ONNX file run by ONNX Runtime on the CPU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modelyard.engines.base import Logits, Row
from modelyard.engines.padding import check_inputs, pad, read_pad_id
from modelyard.engines.telemetry import without_telemetry
from modelyard.errors import InputError, Problem

with without_telemetry():
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

# onnxruntime's errors share no base but Exception
_LOADING_ERRORS = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NoSuchFile,
    errors.NotImplemented,
    errors.RuntimeException,
)
_FATAL_ONLY = 4  # onnxruntime's log severity: a problem reaches the user as an error, not as a line on stderr


class OnnxEngine:
    """Runs one ONNX classifier; `threads` None leaves ONNX Runtime's own number (the physical cores)."""

    def __init__(self, folder: Path, artefact: Sequence[str], *, threads: int | None = None) -> None:
        path = folder / next((name for name in artefact if name.endswith(".onnx")), "model.onnx")
        self._pad_id = read_pad_id(folder)
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _LOADING_ERRORS as error:
            first_line = str(error).partition("\n")[0]
            raise InputError(
                Problem(f"{path.name} cannot be loaded: {first_line}", "run `modelyard compress` again", str(path))
            ) from error
        self._names = [value.name for value in session.get_inputs()]
        check_inputs(self._names, path)
        self._session: onnxruntime.InferenceSession | None = session

    def run(self, rows: Sequence[Row]) -> Logits:
        """Logits of one batch, shape (rows, labels)."""
        if self._session is None:
            raise ValueError("the engine is closed")
        arrays = pad(rows, self._pad_id)
        answers = self._session.run(None, {name: arrays[name] for name in self._names})
        return np.asarray(answers[0], dtype=np.float32)

    def close(self) -> None:
        """Let go of the session and its threads."""
        self._session = None
