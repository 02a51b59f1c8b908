"""`model/`: a Hugging Face folder of safetensors, tokenizer and config, and how it was trained."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.artifacts.documents import read_document
from modelyard.errors import InputError, Problem

MARK = "training.json"
RELEASED = ("classification",)
"""Tasks whose models are compressed, audited, released and served; of the others `train` is the last stage."""
PICKLED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}
MAX_HEADER_BYTES = 100 * 1024 * 1024  # the limit of the safetensors format


class Training(BaseModel):
    """`training.json`: what was trained on what, and how well it did on validation.

    Attributes:
        schema_version: `schema` in JSON.
        task: `classification`, `multi_label_classification`, `causal_lm` or `seq2seq_lm`.
        labels: label names in the order of a classifier's outputs; none of a language model.
        base: digest of the base model's folder.
        prepared: digest of the prepared folder's `dataset.json`.
        max_length_tokens: rows are cut to this many tokens, special ones included, here and everywhere after.
        settings: every setting used, derived ones included.
        history: one entry per evaluation: step, epoch, train_loss, validation_loss; of a classifier validation_macro_f1
            and validation_accuracy, or validation_exact_match where a row may have several labels.
        best_step: the step whose weights these are.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    task: str
    labels: list[str]
    base: str
    prepared: str
    max_length_tokens: int
    settings: dict[str, Any]
    history: list[dict[str, float]]
    best_step: int


def read_training(folder: Path) -> Training:
    """Read how a model of ours was trained.

    Raises:
        InputError: the folder is not a model that `modelyard train` wrote.
    """
    return read_document(folder / MARK, Training, next_step="run `modelyard train` again")


def read_classifier(folder: Path) -> Training:
    """Read how a classifier of ours of one label a row was trained.

    Raises:
        InputError: as `read_training`, or it is a model of another task.
    """
    training = read_training(folder)
    if training.task not in RELEASED:
        raise InputError(
            Problem(
                f"the model was trained for {training.task}: this version compresses, audits, releases and serves "
                "classifiers of one label a row",
                "the folder is a Hugging Face model: use it with transformers, or serve it with a tool for models of "
                "its kind",
                str(folder),
            )
        )
    return training


def check_model_folder(folder: Path, *, weights: bool = True) -> None:
    """Refuse a model folder that cannot be loaded safely, naming everything that is wrong with it.

    Weights are safetensors with a header that fits its file; there is a config, a `tokenizer.json`, and no pickle
    beside them (a pickle runs code when it is loaded).

    Args:
        folder: of the model.
        weights: whether they will be read; else they may be missing.

    Raises:
        InputError: every problem found.
    """
    problems = []
    if not folder.is_dir():
        raise InputError(
            Problem(f"the model folder {folder} does not exist", "name a Hugging Face model folder", str(folder))
        )
    files = sorted(folder.glob("*.safetensors")) if weights else []
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLED)
    if pickled:
        problems.append(
            Problem(
                f"{', '.join(pickled)} may hold pickled objects, which run code when loaded",
                "remove them; keep the .safetensors files",
                str(folder),
            )
        )
    if weights and not files:
        problems.append(
            Problem(
                "no .safetensors file holds the weights",
                "convert the model: save_pretrained(...) writes one; to draw new weights set model.fresh: true",
                str(folder),
            )
        )
    problems += [problem for path in files if (problem := _header_problem(path))]
    for name, next_step in (
        ("config.json", "copy the model's config.json into the folder"),
        ("tokenizer.json", "save the tokenizer with save_pretrained(...) of a fast tokenizer"),
    ):
        if not (folder / name).is_file():
            problems.append(Problem(f"{name} is missing", next_step, str(folder)))
    if problems:
        raise InputError(problems)


def is_only_config(folder: Path) -> bool:
    """Whether a model folder holds a config and no weights in any format, nor the list of those that it should hold."""
    held = [path.name.lower() for path in folder.iterdir()]
    weights = {".safetensors", ".h5", ".msgpack", ".gguf", ".onnx", ".npz", *PICKLED}
    has_weights = any(Path(name).suffix in weights or name.endswith(".index.json") for name in held)
    return "config.json" in held and not has_weights


def _header_problem(path: Path) -> Problem | None:
    """A safetensors file is 8 bytes of header length, the JSON header, then exactly the bytes it declares.

    Source: the format's description in the safetensors README; no holes and no overlap between tensors. What shapes
    and dtypes say is then held against the bytes by the library itself, which reads no more than the header for it.
    """
    from safetensors import SafetensorError, safe_open

    broken = Problem(f"{path.name} is not a whole safetensors file", "copy or download it again", str(path))
    if not path.is_file():  # opening a pipe would wait
        return broken
    size = path.stat().st_size
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                return broken
            header = json.loads(handle.read(length))
        spans = sorted(_span(entry) for name, entry in header.items() if name != "__metadata__")
    except OSError as error:
        return Problem(f"{path.name} cannot be read: {error.strerror}", "check the file and its permissions", str(path))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return broken
    ends = [0, *(end for _, end in spans)]
    contiguous = all(start == end for (start, _), end in zip(spans, ends[:-1], strict=True))
    if not contiguous or ends[-1] != size - 8 - length:
        return broken
    try:
        with safe_open(path, framework="numpy"):
            return None
    except SafetensorError as error:
        return Problem(f"{broken.message}: {error}", broken.next_step, broken.where)


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    """Start and end of one tensor's bytes; ValueError or TypeError where they are no such thing."""
    start, end = entry["data_offsets"]
    if not (type(start) is int and type(end) is int and 0 <= start <= end):
        raise ValueError(entry["data_offsets"])
    return start, end
