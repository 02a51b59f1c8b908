"""The candidates: how each is made, and the folder in which it stands alone."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.artifacts.candidate import EngineName
from modelyard.compression.export import OPSET, export_onnx
from modelyard.compression.quantise_onnx import can_overflow, quantise_dynamic
from modelyard.compression.quantise_openvino import quantise_static
from modelyard.engines.base import Row
from modelyard.progress import Progress, silent

EXPORT = "onnx-fp32"
STATIC = "openvino-int8-static"
DYNAMIC = "onnx-int8-dynamic"
COPIED = ("tokenizer.json", "config.json")


@dataclass(frozen=True)
class Candidate:
    """A model on disk that could be released in place of the trained one.

    Attributes:
        name: of its folder.
        technique: in words.
        engine: what runs it.
        artefact: its files, relative to its folder.
    """

    name: str
    technique: str
    engine: EngineName
    artefact: list[str]

    @property
    def compressed(self) -> bool:
        """Whether it is anything but the plain export."""
        return self.name != EXPORT


def make_candidates(
    model: Path, folder: Path, calibration: Sequence[Row], *, cpu_flags: Sequence[str], progress: Progress = silent
) -> list[Candidate]:
    """Export the model, then quantise the export in each way there is.

    Args:
        model: the trained model's folder.
        folder: where each candidate gets a folder by its name, with its own tokenizer and config.
        calibration: encoded rows of the train split for static int8.
        cpu_flags: of this machine.
        progress: told before each candidate.

    Returns:
        The export first.
    """
    bits = "7-bit weights: this CPU has no VNNI" if can_overflow(cpu_flags) else "8-bit weights"
    fp32 = folder / EXPORT / "model.onnx"
    makers: list[tuple[str, str, EngineName, Callable[[Path], list[str]]]] = [
        (
            EXPORT,
            f"ONNX export, fp32, opset {OPSET}, not compressed",
            "onnx",
            lambda into: export_onnx(model, into),
        ),
        (
            STATIC,
            f"static int8 by NNCF, calibrated on {len(calibration)} train rows, {bits}",
            "openvino",
            lambda into: quantise_static(fp32, into, calibration, cpu_flags=cpu_flags),
        ),
        (
            DYNAMIC,
            f"dynamic int8 by ONNX Runtime, per channel, {bits}",
            "onnx",
            lambda into: quantise_dynamic(fp32, into, cpu_flags=cpu_flags),
        ),
    ]
    made = []
    for number, (name, technique, engine, make) in enumerate(makers):
        progress(f"make candidates, {name}", number, len(makers))
        (folder / name).mkdir()
        artefact = make(folder / name)
        for file in COPIED:
            shutil.copyfile(model / file, folder / name / file)
        made.append(Candidate(name, technique, engine, artefact))
    progress("make candidates", len(makers), len(makers))
    return made
