"""What a name given to `compare` stands for: rows, a baseline, or something that cannot be compared yet."""

from pathlib import Path

from modelyard.artifacts.candidate import MARK as CHOICE
from modelyard.artifacts.model import MARK as TRAINING
from modelyard.artifacts.release import MARK as MANIFEST
from modelyard.errors import InputError, Problem

_MODEL_FILES = (
    (MANIFEST, "a release"),
    (CHOICE, "a folder of candidates"),
    ("card.json", "a candidate"),
    (TRAINING, "a model"),
    ("config.json", "a model"),
)
_MODEL_SUFFIXES = (".safetensors", ".onnx", ".gguf", ".bin", ".pt")
_HEAD_BYTES = 4096


def refuse_models(place: str, root: Path) -> None:
    """Refuse what a later version compares, and a project, of which it is not clear what is meant.

    Raises:
        InputError: it is a release, a model, candidates or a project.
    """
    path = root / place
    what = next((what for name, what in _MODEL_FILES if (path / name).is_file()), None)
    if what is None and path.suffix.lower() in _MODEL_SUFFIXES and path.is_file():
        what = "a model"
    if what is not None:
        held = path / "baseline.json"
        advice = f"name its data: {Path(place) / 'baseline.json'} as OLD" if held.is_file() else "name the data"
        raise InputError(
            Problem(
                f"{place} is {what}, and this version compares data sets, not models or releases",
                f"{advice}; a prepared folder, data files or a baseline.json can be compared now",
                place,
            )
        )
    if (path / "modelyard.yaml").is_file():
        raise InputError(Problem(f"{place} is a project", f"name its prepared data: {Path(place) / 'prepared'}", place))


def baseline_file(place: str, root: Path) -> Path | None:
    """The file of a baseline: one of that name, or a JSON file that begins as one; None for anything else."""
    path = root / place
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    is_ours = b'"schema"' in head and b'"rows"' in head and b'"labels"' in head
    return path if path.name == "baseline.json" or is_ours else None
