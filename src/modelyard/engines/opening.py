"""From an engine's name to the engine."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from modelyard.artifacts.candidate import EngineName
from modelyard.engines.base import Engine
from modelyard.errors import InputError, MissingDependency, Problem

_MODULES: dict[EngineName, tuple[str, str]] = {
    "torch": ("torch_engine", "TorchEngine"),
    "onnx": ("onnx_engine", "OnnxEngine"),
    "openvino": ("openvino_engine", "OpenvinoEngine"),
}


def open_engine(folder: Path, engine: EngineName, artefact: Sequence[str], *, threads: int | None = None) -> Engine:
    """Open what a folder holds.

    Args:
        folder: a candidate, a release or, for torch, a Hugging Face folder; `config.json` names the padding token.
        engine: which engine runs it.
        artefact: file names of the artefact in the folder, as the card lists them; torch finds its own.
        threads: threads of one batch; None leaves the engine's own number. torch's is the whole process's.

    Raises:
        InputError: a file is missing or cannot be loaded by that engine.
        MissingDependency: the engine's library is not installed.
    """
    missing = [name for name in artefact if not (folder / name).is_file()]
    if missing:
        raise InputError(
            [Problem(f"{name} is missing", "run `modelyard compress` again", str(folder / name)) for name in missing]
        )
    module_name, class_name = _MODULES[engine]
    try:
        module = import_module(f"modelyard.engines.{module_name}")
    except ModuleNotFoundError as error:
        library = (error.name or module_name).partition(".")[0]
        raise MissingDependency(
            Problem(f"the engine {engine} needs {library}, which is not installed", f"run: pip install {library}")
        ) from error
    kind: Callable[..., Engine] = getattr(module, class_name)
    return kind(folder, threads=threads) if engine == "torch" else kind(folder, artefact, threads=threads)
