"""What a name given to `compare` stands for: rows, a baseline, or something that cannot be compared yet."""

from pathlib import Path

from modelyard.artifacts.candidate import MARK as CHOICE
from modelyard.artifacts.model import MARK as TRAINING
from modelyard.artifacts.release import MARK as MANIFEST
from modelyard.artifacts.release import SIGNATURE
from modelyard.errors import InputError, Problem

WEIGHTS = (".safetensors", ".onnx", ".gguf", ".pt")
_HEAD_BYTES = 4096


def refuse_models(place: str, root: Path) -> None:
    """Refuse what a later version compares, and a project, of which it is not clear what is meant.

    Raises:
        InputError: it is a release, a model, candidates or a project.
    """
    path = root / place
    what = _model_in(path)
    if what:
        held = Path(place) / "baseline.json"
        advice = f"name its data: {held} as OLD" if _is_file(path / "baseline.json") else "name the data"
        raise InputError(
            Problem(
                f"{place} is {what}, and this version compares data sets, not models or releases",
                f"{advice}; prepared folders, data files and a baseline.json can be compared now",
                place,
            )
        )
    if _is_file(path / "modelyard.yaml"):
        raise InputError(Problem(f"{place} is a project", f"name its prepared data: {Path(place) / 'prepared'}", place))


def _model_in(path: Path) -> str:
    """What kind of model, or of folder around one, stands there; empty for anything else."""
    if path.suffix.lower() in WEIGHTS and _is_file(path):
        return "a model"
    if _is_file(path / MANIFEST) and _is_file(path / SIGNATURE):
        return "a release"
    if _is_file(path / CHOICE):
        return "a folder of candidates"
    if _is_file(path / "card.json"):
        return "a candidate"
    if _is_file(path / TRAINING) or (_is_file(path / "config.json") and _has_weights(path)):
        return "a model"
    return ""


def _has_weights(folder: Path) -> bool:
    return any(path.suffix.lower() in WEIGHTS for path in folder.iterdir())


def _is_file(path: Path) -> bool:
    """Whether a file is there; a name that the system refuses is `locate`'s to tell."""
    try:
        return path.is_file()
    except OSError:
        return False


def baseline_file(place: str, root: Path) -> Path | None:
    """The file of a baseline: one of that name, or a JSON file that begins as one; None for anything else."""
    path = root / place
    if path.suffix.lower() != ".json" or not _is_file(path):
        return None
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    is_ours = b'"schema"' in head and b'"rows"' in head and b'"labels"' in head
    return path if path.name == "baseline.json" or is_ours else None
